// Tests aidb.hpp as a C++ program uses it: test_aidb_cpp DIRECTORY
//
// The C program beside this one tests the functions below; this one tests the classes: that they throw the right
// errors, release what they hold, and survive any order of destruction.
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "aidb.hpp"
#include "check.h"

namespace {

// The status that `call` throws; AIDB_OK if it throws nothing.
template <typename Call>
aidb::Status thrown(Call call) {
  try {
    call();
    return AIDB_OK;
  } catch (const aidb::Error& error) {
    CHECK(std::string(error.what()) != "");
    return error.status();
  }
}

using Entries = std::vector<std::pair<std::string, std::string>>;

Entries entries(aidb::Iterator iterator) {
  Entries result;
  for (auto [key, value] : iterator) result.emplace_back(key, value);
  return result;
}

void test_options(const std::string& path) {
  aidb::Options options;
  options.set("block_cache_size", "1MiB").set("block_size", 8192).set("create_if_missing", false);
  options.set("write_buffer_size", std::size_t{1} << 20).set("background_threads", 1u);
  CHECK(options.get("block_cache_size") == "1048576");
  CHECK(options.get("write_buffer_size") == "1048576");
  CHECK(options.get("create_if_missing") == "false");
  CHECK(thrown([&] { options.set("block_size", -1); }) == AIDB_INVALID_ARGUMENT);
  CHECK(thrown([&] { options.set("no such option", 1); }) == AIDB_INVALID_ARGUMENT);
  CHECK(thrown([&] { aidb::DB db(path, options); }) == AIDB_INVALID_ARGUMENT);
  CHECK(aidb::Options::names().size() > 10);
  aidb::Options moved = std::move(options);
  CHECK(moved.get("block_size") == "8192");
  CHECK(thrown([&] { options.get("block_size"); }) == AIDB_INVALID_ARGUMENT);
  CHECK(aidb::version() == AIDB_VERSION);
}

void test_reads_and_writes(aidb::DB& db) {
  using namespace std::string_literals;
  const std::string binary = "\0\xff\0"s;
  aidb::WriteOptions durable;
  durable.sync = true;
  db.put("a", "1");
  db.put(binary, binary, durable);
  db.put("", "");
  CHECK(db.get("a") == "1");
  CHECK(db.get(binary) == binary);
  CHECK(db.get("") == "");
  CHECK(!db.get("b"));
  CHECK(db.contains("a") && !db.contains("b"));
  db.erase("", durable);
  db.erase(binary);
  CHECK(!db.contains(""));

  std::optional<aidb::Value> value = db.get_pinned("a");
  db.put("a", "2");
  CHECK(value && value->view() == "1" && value->size() == 1 && *value->data() == '1');
  CHECK(!db.get_pinned("b"));

  const std::vector<std::string> keys = {"a", "b", "a"};
  const auto values = db.get_many(keys);
  CHECK(values.size() == 3 && values[0] == "2" && !values[1] && values[2] == "2");
  CHECK(db.get_many(std::vector<std::string>()).empty());
  db.erase("a");
}

void test_batches(aidb::DB& db) {
  aidb::WriteBatch batch, more;
  CHECK(batch.empty());
  batch.put("x", "1");
  batch.put("y", "");
  more.erase("x");
  batch.append(more);
  CHECK(batch.size() == 3 && batch.byte_size() > 7);
  const auto operations = batch.operations();
  CHECK(operations.size() == 3 && operations[0].first == "x" && operations[0].second == "1");
  CHECK(operations[1].second == "" && !operations[2].second);
  db.write(batch);
  CHECK(!db.contains("x") && db.get("y") == "");
  batch.clear();
  batch.erase("y");
  db.write(batch);
  CHECK(!db.contains("y"));
  aidb::WriteBatch moved(std::move(batch));
  CHECK(moved.size() == 1 && batch.size() == 0);
  CHECK(thrown([&] { db.write(batch); }) == AIDB_INVALID_ARGUMENT);
}

std::string keys_of(const aidb::DB& db) {
  std::string keys;
  for (auto [key, value] : db.iterator()) keys += std::string(key) + " ";
  return keys;
}

// Leaves the database empty.
void test_range_deletes(aidb::DB& db) {
  const auto fill = [&] {
    for (const char* key : {"a", "b", "ba", "c"}) db.put(key, "v");
  };
  const std::string start = "b";
  db.delete_prefix("");
  fill();
  const std::uint64_t before = db.snapshot().sequence();
  CHECK(db.delete_range(start, "c") == before + 1 && keys_of(db) == "a c ");
  CHECK(db.delete_range(start, start) == before + 1);
  CHECK(thrown([&] { db.delete_range("c", "b"); }) == AIDB_INVALID_ARGUMENT);
  fill();
  CHECK(db.delete_range(std::nullopt, start, {true}) > before && keys_of(db) == "b ba c ");
  db.delete_range("ba", {});
  CHECK(keys_of(db) == "b ");
  fill();
  aidb::Snapshot snapshot = db.snapshot();
  db.delete_range(std::nullopt, std::nullopt);
  CHECK(keys_of(db) == "" && db.contains("ba", {&snapshot}));

  aidb::WriteBatch batch;
  batch.put("b", "1");
  batch.erase("");
  batch.delete_range("a", "c");
  batch.delete_range({}, "");
  batch.delete_prefix("b");
  batch.delete_range("c", std::nullopt);
  batch.put("ba", "2");
  CHECK(batch.size() == 6);
  CHECK(thrown([&] { batch.delete_range("c", "b"); }) == AIDB_INVALID_ARGUMENT);
  CHECK(thrown([&] { batch.operations(); }) == AIDB_UNSUPPORTED);
  std::string told;
  batch.for_each([&](const aidb::Operation& operation) {
    told += std::to_string(operation.kind) + std::string(operation.key) + "," + std::string(operation.value) + "," +
            std::string(operation.end.value_or("*")) + " ";
  });
  CHECK(told == "1b,1,* 0,,* 2a,,c 2b,,c 2c,,* 1ba,2,* ");
  int calls = 0;
  try {
    batch.for_each([&](const aidb::Operation&) {
      if (++calls == 2) throw std::runtime_error("enough");
    });
    CHECK(!"the exception passes through");
  } catch (const std::runtime_error& error) {
    CHECK(std::string(error.what()) == "enough" && calls == 2);
  }
  fill();
  db.write(batch);
  CHECK(keys_of(db) == "ba ");

  fill();
  aidb::Transaction transaction = db.begin();
  transaction.put("bb", "mine");
  transaction.delete_range(start, "c");
  transaction.put("bc", "later");
  transaction.delete_prefix("a");
  CHECK(thrown([&] { transaction.delete_range("c", "b"); }) == AIDB_INVALID_ARGUMENT);
  CHECK(!transaction.contains("bb") && transaction.contains("bc") && keys_of(db) == "a b ba c ");
  transaction.commit();
  CHECK(keys_of(db) == "bc c ");
  aidb::Transaction reader = db.begin();
  reader.put("seen", std::to_string(reader.contains("absent")));
  db.delete_range("a", "b");
  CHECK(thrown([&] { reader.commit(); }) == AIDB_CONFLICT);
  db.delete_prefix("");
}

void test_sequences(aidb::DB& db) {
  const std::uint64_t before = db.snapshot().sequence();
  CHECK(db.put("n", "1") == before + 1);
  CHECK(db.erase("n") == before + 2);
  aidb::WriteBatch batch;
  CHECK(db.write(batch) == before + 2);
  for (int count = 0; count < 100; ++count) batch.put("n", "1");
  batch.erase("n");
  aidb::WriteOptions durable;
  durable.sync = true;
  CHECK(db.write(batch, durable) == before + 103);
  CHECK(db.snapshot().sequence() == before + 103);
}

void test_iterators(aidb::DB& db) {
  for (const char* key : {"i1", "i2", "i3", "i4"}) db.put(key, std::string("v") + key);
  const aidb::Snapshot snapshot = db.snapshot();
  db.erase("i2");
  CHECK((entries(db.prefix("i")) == Entries{{"i1", "vi1"}, {"i3", "vi3"}, {"i4", "vi4"}}));
  CHECK((entries(db.range("i2", "i4")) == Entries{{"i3", "vi3"}}));
  CHECK(entries(db.range("", "")).empty());
  aidb::IterOptions options;
  options.snapshot = &snapshot;
  options.lower_bound = "i2";
  options.upper_bound = "i4";
  options.reverse = true;
  CHECK((entries(db.iterator(options)) == Entries{{"i3", "vi3"}, {"i2", "vi2"}}));
  options.values = false;
  options.prefix = "i3";
  CHECK((entries(db.iterator(options)) == Entries{{"i3", ""}}));

  aidb::Iterator walk = db.iterator();
  CHECK(!walk.valid() && walk.key().empty());
  CHECK(walk.seek("i2") && walk.key() == "i3" && walk.value() == "vi3");
  CHECK(walk.seek_for_prev("i2") && walk.key() == "i1");
  CHECK(walk.next() && walk.key() == "i3");
  CHECK(walk.prev() && walk.key() == "i1");
  CHECK(walk.first() && walk.last() && !walk.next() && !walk.valid());
  aidb::Iterator moved = std::move(walk);
  CHECK(moved.first() && !walk.valid());
  CHECK(thrown([&] { walk.next(); }) == AIDB_INVALID_ARGUMENT);

  aidb::ReadOptions read;
  read.snapshot = &snapshot;
  CHECK(db.get("i2", read) == "vi2" && !db.get("i2") && snapshot.sequence() > 0);
}

void test_maintenance(aidb::DB& db, const std::string& path) {
  db.flush();
  db.compact_range();
  db.compact_range("i", "j");
  CHECK(db.approximate_size("", "zzz") > 0);
  CHECK(db.approximate_size() >= db.approximate_size("", "zzz"));
  CHECK(db.approximate_size(std::nullopt, "") == 0);
  const std::uint64_t all = db.count();
  CHECK(all > 0 && db.count("", "zzz") == all && db.count("b", "a") == 0 && db.approximate_count() == all);
  CHECK(db.approximate_count("i", "j") > 0 && db.approximate_count(std::nullopt, "") == 0);
  {
    aidb::Snapshot before = db.snapshot();
    db.put("i/counted", "");
    aidb::CountOptions options;
    options.prefix = "i";
    const std::uint64_t with = db.count(std::nullopt, std::nullopt, options);
    options.snapshot = &before;
    std::uint64_t told = 0;
    CHECK(db.count({}, {}, options, [&](std::uint64_t counted, std::uint64_t total) {
      told = counted;
      return counted < total;
    }) == told);
    CHECK(told + 1 == with && with == db.count("i", "j"));
    bool passed_on = false;
    try {
      db.count({}, {}, {}, [](std::uint64_t, std::uint64_t) -> bool { throw 7; });
    } catch (int seven) {
      passed_on = seven == 7;
    }
    CHECK(passed_on);
    db.erase("i/counted");
  }
  CHECK(thrown([] { aidb::DB remote("aidb://host/db"); }) == AIDB_UNSUPPORTED);
  CHECK(db.stats_json().front() == '{');
  CHECK(!db.property("no such property"));
  CHECK(db.path() == path && !db.is_closed());
  try {
    aidb::DB second(path);
    CHECK(!"a second opener is refused");
  } catch (const aidb::Error& error) {
    CHECK(error.status() == AIDB_LOCKED && error.is_retryable());
  }
}

void test_copies(aidb::DB& db, const std::string& path) {
  const std::string copy_path = path + "-copy", repaired_path = path + "-repaired";
  aidb::DB::destroy(copy_path);
  aidb::DB::destroy(repaired_path);
  db.put("copied", "yes");
  db.checkpoint(copy_path);
  CHECK(thrown([&] { db.checkpoint(copy_path); }) == AIDB_INVALID_ARGUMENT);
  {
    aidb::DB copy(copy_path);
    CHECK(copy.get("copied") == "yes");
    std::uint64_t last = 0;
    aidb::Report report = copy.verify([&](std::uint64_t done, std::uint64_t total) {
      CHECK(last <= done && done <= total);
      last = done;
      return true;
    });
    CHECK(report.is_ok && report.json.front() == '{');
    CHECK(copy.verify().is_ok);
    CHECK(!copy.verify([](std::uint64_t, std::uint64_t) { return false; }).is_ok);
    bool came_out = false;
    try {
      copy.verify([](std::uint64_t, std::uint64_t) -> bool { throw 7; });
    } catch (int number) {
      came_out = number == 7;
    }
    CHECK(came_out);
    CHECK(thrown([&] { aidb::DB::repair(copy_path, repaired_path); }) == AIDB_LOCKED);
  }
  CHECK(aidb::DB::repair(copy_path, repaired_path).is_ok);
  CHECK(aidb::DB(repaired_path).get("copied") == "yes");
  aidb::DB::destroy(copy_path);
  aidb::DB::destroy(repaired_path);
}

void test_transactions(aidb::DB& db) {
  db.put("t1", "1");
  {
    aidb::Transaction transaction = db.begin();
    CHECK(transaction.get("t1") == "1" && !transaction.get("t2") && transaction.contains("t1"));
    transaction.put("t2", "2");
    const std::uint64_t savepoint = transaction.savepoint();
    aidb::WriteBatch batch;
    batch.put("t3", "");
    batch.erase("t1");
    transaction.write(batch);
    CHECK((entries(transaction.prefix("t")) == Entries{{"t2", "2"}, {"t3", ""}}));
    CHECK((entries(transaction.range("t3", "t4")) == Entries{{"t3", ""}}));
    transaction.rollback_to(savepoint);
    const auto values = transaction.get_many(std::vector<std::string>{"t1", "t2", "t3"});
    CHECK(values.size() == 3 && values[0] == "1" && values[1] == "2" && !values[2]);
    const std::optional<aidb::Value> value = transaction.get_pinned("t2");
    transaction.erase("t1");
    CHECK(!db.contains("t2"));
    aidb::WriteOptions durable;
    durable.sync = true;
    CHECK(transaction.commit(durable) == db.snapshot().sequence());
    CHECK(db.get("t2") == "2" && !db.contains("t1") && value->view() == "2");
    CHECK(thrown([&] { transaction.put("t1", "1"); }) == AIDB_CLOSED);
    transaction.rollback();
  }
  {
    aidb::Transaction dropped = db.begin();
    dropped.put("t4", "4");
    aidb::Transaction moved = std::move(dropped);
    CHECK(moved.get("t4") == "4");
    CHECK(thrown([&] { dropped.get("t4"); }) == AIDB_INVALID_ARGUMENT);
  }
  CHECK(!db.contains("t4"));

  aidb::Transaction loser = db.begin();
  CHECK(loser.get("t2") == "2");
  loser.put("t2", "lost");
  db.put("t2", "won");
  try {
    loser.commit();
    CHECK(!"a conflict is thrown");
  } catch (const aidb::Error& error) {
    CHECK(error.status() == AIDB_CONFLICT && error.is_retryable());
  }
  CHECK(db.get("t2") == "won");

  aidb::TransactionOptions options;
  options.read_only = true;
  aidb::Transaction reader = db.begin(options);
  CHECK(reader.get("t2") == "won");
  CHECK(thrown([&] { reader.put("t2", "2"); }) == AIDB_INVALID_ARGUMENT);
  aidb::IterOptions at_snapshot;
  const aidb::Snapshot snapshot = db.snapshot();
  at_snapshot.snapshot = &snapshot;
  CHECK(thrown([&] { reader.iterator(at_snapshot); }) == AIDB_INVALID_ARGUMENT);
  db.erase("t2");
  CHECK(reader.commit() <= snapshot.sequence());
}

void test_run_transaction(aidb::DB& db) {
  int calls = 0;
  const std::string name = db.run_transaction(3, [&](aidb::Transaction& transaction) {
    CHECK(!transaction.get("r1"));
    transaction.put("r1", "1");
    return std::string("returned");
  });
  CHECK(name == "returned" && db.get("r1") == "1");
  // Without a result, and with one that can only be moved.
  db.run_transaction(1, [](aidb::Transaction& transaction) { transaction.erase("r1"); });
  CHECK(!db.contains("r1"));
  CHECK(*db.run_transaction(1, [](aidb::Transaction&) { return std::make_unique<int>(7); }) == 7);

  const auto disturbed = [&](int times) {
    return [&db, &calls, times](aidb::Transaction& transaction) {
      static_cast<void>(transaction.get("r2"));
      transaction.put("r3", "1");
      if (calls++ < times) db.put("r2", "changed");
    };
  };
  db.run_transaction(3, disturbed(2));
  CHECK(calls == 3 && db.get("r3") == "1");
  db.erase("r3");
  calls = 0;
  CHECK(thrown([&] { db.run_transaction(3, disturbed(9)); }) == AIDB_CONFLICT);
  CHECK(calls == 3 && !db.contains("r3"));

  // Exceptions roll back and pass through, except for a conflict, which is tried again.
  calls = 0;
  try {
    db.run_transaction(3, [&](aidb::Transaction& transaction) {
      calls++;
      transaction.put("r3", "1");
      throw std::out_of_range("no");
    });
    CHECK(!"an exception passes through");
  } catch (const std::out_of_range& error) {
    CHECK(calls == 1 && std::string(error.what()) == "no");
  }
  const auto throws = [&](aidb::Status status, int times) {
    calls = 0;
    return thrown([&] {
      db.run_transaction(3, [&](aidb::Transaction& transaction) {
        transaction.put("r3", "1");
        if (calls++ < times) throw aidb::Error(status, false, "thrown");
      });
    });
  };
  CHECK(throws(AIDB_IO, 1) == AIDB_IO && calls == 1 && !db.contains("r3"));
  CHECK(throws(AIDB_CONFLICT, 9) == AIDB_CONFLICT && calls == 3 && !db.contains("r3"));
  CHECK(throws(AIDB_CONFLICT, 2) == AIDB_OK && calls == 3 && db.contains("r3"));
  CHECK(thrown([&] { db.run_transaction(0, [](aidb::Transaction&) {}); }) == AIDB_INVALID_ARGUMENT);
  CHECK(thrown([&] { db.run_transaction(1, [](aidb::Transaction& transaction) { transaction.commit(); }); }) ==
        AIDB_CLOSED);
  // One that is taken away ends with the call all the same.
  std::unique_ptr<aidb::Transaction> taken;
  db.run_transaction(1, [&](aidb::Transaction& transaction) {
    transaction.put("r3", "2");
    taken = std::make_unique<aidb::Transaction>(std::move(transaction));
  });
  CHECK(db.get("r3") == "2" && thrown([&] { taken->get("r3"); }) == AIDB_CLOSED);

  // Each of many jobs is taken once.
  for (int job = 0; job < 200; job++) db.put("job/" + std::to_string(1000 + job), std::to_string(job));
  std::vector<std::atomic<int>> taken_times(200);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; thread++) {
    threads.emplace_back([&] {
      const auto take = [](aidb::Transaction& transaction) -> std::optional<int> {
        for (auto [key, value] : transaction.prefix("job/")) {
          const int job = std::stoi(std::string(value));
          transaction.erase(key);
          return job;
        }
        return std::nullopt;
      };
      while (const std::optional<int> job = db.run_transaction(UINT32_MAX, take)) {
        taken_times[static_cast<std::size_t>(*job)]++;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::atomic<int>& times : taken_times) CHECK(times == 1);
}

void test_one_call(aidb::DB& db) {
  CHECK(db.compare_and_set("one", std::nullopt, "") && !db.compare_and_set("one", std::nullopt, "1"));
  CHECK(db.compare_and_set("one", "", "1") && db.get("one") == "1");
  CHECK(!db.compare_and_set("one", "2", std::nullopt) && db.compare_and_set("one", "1", std::nullopt));
  aidb::WriteOptions durable;
  durable.sync = true;
  CHECK(db.put_if_absent("one", "1", durable) && !db.put_if_absent("one", "2") && db.get("one") == "1");
  CHECK(db.get_and_put("one", "") == "1" && db.get_and_delete("one", durable) == "");
  CHECK(!db.get_and_delete("one") && !db.get_and_put("one", "1") && db.get("one") == "1");
  db.erase("one");
}

void test_any_order_of_destruction(const std::string& path) {
  auto db = std::make_unique<aidb::DB>(path);
  db->put("k", "v");
  aidb::Iterator iterator = db->iterator();
  CHECK(iterator.first());
  aidb::Snapshot snapshot = db->snapshot();
  aidb::Transaction transaction = db->begin();
  transaction.put("k", "lost");
  aidb::Iterator walk = transaction.iterator();
  std::optional<aidb::Value> value = db->get_pinned("k");
  std::vector<std::thread> threads;
  aidb_db* shared = db->handle();
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([shared] {
      while (aidb_put(shared, "t", 1, "t", 1, nullptr, nullptr) == AIDB_OK) {
      }
    });
  }
  db.reset();
  for (std::thread& thread : threads) thread.join();
  CHECK(value->view() == "v");
  CHECK(thrown([&] { iterator.next(); }) == AIDB_CLOSED);
  CHECK(thrown([&] { transaction.commit(); }) == AIDB_CLOSED);
  CHECK(thrown([&] { walk.next(); }) == AIDB_CLOSED);
  snapshot.release();

  aidb::DB closed(path);
  closed.close();
  closed.close();
  CHECK(closed.is_closed());
  CHECK(thrown([&] { closed.put("k", "v"); }) == AIDB_CLOSED);
}

}  // namespace

// C would end each of these texts at its NUL byte, and act on another directory.
template <typename Call>
static bool is_refused_for_nul(Call call) {
  try {
    call();
  } catch (const aidb::Error& error) {
    return error.status() == AIDB_INVALID_ARGUMENT && std::string(error.what()).find("NUL") != std::string::npos;
  }
  return false;
}

static void test_nul_bytes(const std::string& path) {
  const std::string cut = path + std::string("\0/other", 7);
  const std::string nul("on\0", 3);
  {
    aidb::DB db(path);
    CHECK(is_refused_for_nul([&] { db.checkpoint(cut); }));
    CHECK(is_refused_for_nul([&] { db.property(nul); }));
    db.put("kept", "1");
  }
  CHECK(is_refused_for_nul([&] { aidb::DB db(cut); }));
  CHECK(is_refused_for_nul([&] { aidb::DB::destroy(cut); }));
  CHECK(is_refused_for_nul([&] { aidb::DB::repair(cut, path + "-into"); }));
  CHECK(is_refused_for_nul([&] { aidb::DB::repair(path, cut); }));
  CHECK(is_refused_for_nul([&] { aidb::Options().set("info_log", nul); }));
  CHECK(is_refused_for_nul([&] { aidb::Options().set(nul, "1"); }));
  aidb::DB db(path);
  CHECK(db.get("kept") == std::optional<std::string>("1"));
}

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  const std::string path = argv[1];
  test_options(path);
  {
    aidb::DB db(path);
    test_reads_and_writes(db);
    test_batches(db);
    test_range_deletes(db);
    test_sequences(db);
    test_iterators(db);
    test_transactions(db);
    test_run_transaction(db);
    test_one_call(db);
    test_maintenance(db, path);
    test_copies(db, path);
  }
  test_any_order_of_destruction(path);
  test_nul_bytes(path);
  aidb::DB::destroy(path);
  return REPORT();
}
