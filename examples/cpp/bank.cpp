// A bank: several threads transfer money at once. No transfer is lost, and no account is overdrawn.
//
//     c++ -std=c++17 bank.cpp $(pkg-config --cflags --libs aidb) -pthread -o bank && ./bank /tmp/bank.db
#include <cstdint>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include <aidb.hpp>

constexpr int kAccounts = 10, kBalance = 100, kThreads = 4, kTransfers = 200;

// It can be used on a DB and in a transaction.
template <typename Reader>
int balance(const Reader& reader, const std::string& account) {
  return std::stoi(reader.get(account).value_or("0"));
}

// Moves money if there is enough; returns whether there was. If another commit changes one of the two accounts
// meanwhile, all of this runs again: it needs no lock, and must have no other effects.
bool transfer(aidb::DB& db, const std::string& from, const std::string& to, int amount) {
  return db.run_transaction(UINT32_MAX, [&](aidb::Transaction& transaction) {
    const int left = balance(transaction, from) - amount;
    if (left < 0) return false;
    transaction.put(from, std::to_string(left));
    transaction.put(to, std::to_string(balance(transaction, to) + amount));
    return true;
  });
}

int main(int argc, char** argv) try {
  aidb::DB db(argc > 1 ? argv[1] : "bank.db");
  const auto name = [](int account) { return "account/" + std::to_string(account % kAccounts); };
  // Opens each account once, however often the program runs.
  for (int account = 0; account < kAccounts; account++) db.put_if_absent(name(account), std::to_string(kBalance));

  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; thread++) {
    threads.emplace_back([&db, &name, thread] {
      for (int i = 0; i < kTransfers; i++) transfer(db, name(i * 7 + thread), name(i * 3 + thread + 1), i % 40);
    });
  }
  for (std::thread& thread : threads) thread.join();

  int total = 0;
  for (int account = 0; account < kAccounts; account++) {
    const int left = balance(db, name(account));
    if (left < 0) return 1;
    total += left;
  }
  std::cout << "after " << kThreads * kTransfers << " transfers the bank has " << total << "\n";
  db.close();
  return total == kAccounts * kBalance ? 0 : 1;
} catch (const aidb::Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
