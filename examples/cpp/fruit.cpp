// The first steps with AiDb: open, a batch, a get, a snapshot, a prefix scan, close.
//
//     c++ -std=c++17 fruit.cpp $(pkg-config --cflags --libs aidb) -o fruit && ./fruit /tmp/fruit.db
#include <iostream>

#include <aidb.hpp>

int main(int argc, char** argv) try {
  aidb::DB db(argc > 1 ? argv[1] : "fruit.db");

  // Both fruits appear together, or neither; with sync, also after power loss.
  aidb::WriteBatch batch;
  batch.put("fruit:apple", "red");
  batch.put("fruit:banana", "yellow");
  aidb::WriteOptions durable;
  durable.sync = true;
  db.write(batch, durable);

  // A snapshot keeps its view while the database changes.
  aidb::Snapshot before = db.snapshot();
  db.put("fruit:apple", "green");
  if (auto colour = db.get("fruit:apple")) std::cout << "apples are " << *colour << " now\n";

  aidb::IterOptions options;
  options.snapshot = &before;
  options.prefix = "fruit:";
  for (auto [key, value] : db.iterator(options)) std::cout << key << " was " << value << "\n";

  // One small write deletes all fruits, however many there are.
  db.delete_prefix("fruit:");

  db.close();
} catch (const aidb::Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
