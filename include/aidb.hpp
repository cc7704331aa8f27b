// AiDb for C++17: the C API (aidb.h) as classes that release what they hold. Header only; link with -laidb.
//
//     aidb::DB db("fruit.db");
//     db.put("apple", "red");
//     std::optional<std::string> colour = db.get("apple");
//     for (auto [key, value] : db.prefix("ap")) { ... }
// * A call that fails throws aidb::Error, which carries the status; an absent key is an empty optional.
// * Objects can be moved but not copied. Using a closed one throws AIDB_CLOSED, a moved-from one
//   AIDB_INVALID_ARGUMENT.
// * They may be destroyed in any order: the database even before its iterators, snapshots, transactions and values.
// * Threads: as in aidb.h. A DB, Snapshot or Value may be shared; an Iterator or a Transaction serves one thread at a
//   time.

#ifndef AIDB_HPP
#define AIDB_HPP

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "aidb.h"

namespace aidb {

using Status = aidb_status;

// The exception of every failing call: the status, and a message for a person.
class Error : public std::runtime_error {
 public:
  Error(Status status, bool retryable, const std::string& message)
      : std::runtime_error(message), status_(status), retryable_(retryable) {}

  Status status() const noexcept { return status_; }
  // Whether the same call may succeed later without any change to it.
  bool is_retryable() const noexcept { return retryable_; }

 private:
  Status status_;
  bool retryable_;
};

namespace detail {

// The text as a C string. Throws if it contains a NUL, because C would silently ignore everything after it.
inline const char* c_text(const std::string& text, const char* what) {
  const auto nul = text.find('\0');
  if (nul != std::string::npos) {
    throw Error(AIDB_INVALID_ARGUMENT, false,
                std::string(what) + " has a NUL byte, its byte " + std::to_string(nul));
  }
  return text.c_str();
}

// Takes the error object of one call and throws it as an aidb::Error.
class Check {
 public:
  Check() = default;
  Check(const Check&) = delete;
  Check& operator=(const Check&) = delete;
  ~Check() { aidb_error_free(error_); }

  aidb_error** out() noexcept { return &error_; }

  // True for AIDB_OK, false for AIDB_NOT_FOUND.
  bool operator()(Status status) const {
    if (status == AIDB_OK) return true;
    if (status == AIDB_NOT_FOUND) return false;
    const char* message = error_ ? aidb_error_message(error_) : aidb_status_name(status);
    throw Error(status, aidb_error_is_retryable(error_), message);
  }

 private:
  aidb_error* error_ = nullptr;
};

struct Free {
  void operator()(void* buffer) const noexcept { aidb_free(buffer); }
  void operator()(aidb_db* db) const noexcept { aidb_close(db, nullptr); }
  void operator()(aidb_options* options) const noexcept { aidb_options_free(options); }
  void operator()(aidb_batch* batch) const noexcept { aidb_batch_free(batch); }
  void operator()(aidb_snapshot* snapshot) const noexcept { aidb_snapshot_release(snapshot); }
  void operator()(aidb_iterator* iterator) const noexcept { aidb_iter_free(iterator); }
  void operator()(aidb_pinned* pinned) const noexcept { aidb_pinned_free(pinned); }
  void operator()(aidb_transaction* transaction) const noexcept { aidb_transaction_free(transaction); }
};

template <typename Handle>
using Owned = std::unique_ptr<Handle, Free>;

// Copies a zero-terminated buffer of the library into a string, and releases the buffer.
inline std::string text(char* buffer) {
  Owned<char> owned(buffer);
  return std::string(buffer);
}

// Never NULL, because NULL means "no bound" where an empty string means an empty key.
inline const void* data(std::string_view bytes) noexcept {
  return bytes.data() ? bytes.data() : "";
}

// NULL for no bytes at all.
inline const void* data(const std::optional<std::string_view>& bytes) noexcept {
  return bytes ? data(*bytes) : nullptr;
}
inline std::size_t size(const std::optional<std::string_view>& bytes) noexcept {
  return bytes ? bytes->size() : 0;
}

// Copies a buffer of the library, which it releases, into a string.
inline std::string bytes(char* buffer, std::size_t len) {
  Owned<char> owned(buffer);
  return std::string(buffer, len);
}

// The values of many keys, by a call that reads them.
template <typename Keys, typename Read>
std::vector<std::optional<std::string>> many(const Keys& keys, Read read) {
  std::vector<const void*> data;
  std::vector<std::size_t> lens;
  for (std::string_view key : keys) {
    data.push_back(key.data());
    lens.push_back(key.size());
  }
  std::vector<const char*> values(data.size());
  std::vector<std::size_t> value_lens(data.size());
  char* buffer = nullptr;
  Check check;
  check(read(data.size(), data.data(), lens.data(), values.data(), value_lens.data(), &buffer, check.out()));
  Owned<char> owned(buffer);
  std::vector<std::optional<std::string>> result;
  result.reserve(values.size());
  for (std::size_t i = 0; i < values.size(); i++) {
    if (values[i]) {
      result.emplace_back(std::in_place, values[i], value_lens[i]);
    } else {
      result.emplace_back(std::nullopt);
    }
  }
  return result;
}

}  // namespace detail

// The version of the library in use.
inline std::string_view version() { return aidb_version(); }

// How to open a database: set options by name, as the guide lists them.
class Options {
 public:
  Options() : handle_(aidb_options_new()) {}

  // Sets an option from text: "64MiB", "true", "zstd". Throws for an unknown name and for a value out of range.
  Options& set(const std::string& name, const std::string& value) {
    detail::Check check;
    check(aidb_options_set(handle_.get(), detail::c_text(name, "the name"), detail::c_text(value, "the value"), check.out()));
    return *this;
  }
  Options& set(const std::string& name, const char* value) { return set(name, std::string(value)); }
  Options& set(const std::string& name, bool value) {
    detail::Check check;
    check(aidb_options_set_flag(handle_.get(), detail::c_text(name, "the name"), value ? 1 : 0, check.out()));
    return *this;
  }
  template <typename Number,
            std::enable_if_t<std::is_integral_v<Number> && !std::is_same_v<Number, bool>, int> = 0>
  Options& set(const std::string& name, Number value) {
    if constexpr (std::is_signed_v<Number>) {
      if (value < 0) return set(name, std::to_string(value));
    }
    detail::Check check;
    check(aidb_options_set_number(handle_.get(), detail::c_text(name, "the name"), static_cast<std::uint64_t>(value),
                                  check.out()));
    return *this;
  }
  std::string get(const std::string& name) const {
    detail::Check check;
    char* value = nullptr;
    check(aidb_options_get(handle_.get(), detail::c_text(name, "the name"), &value, check.out()));
    return detail::text(value);
  }
  static std::vector<std::string> names() {
    std::vector<std::string> names;
    while (const char* name = aidb_options_name(names.size())) names.emplace_back(name);
    return names;
  }
  aidb_options* handle() const noexcept { return handle_.get(); }

 private:
  detail::Owned<aidb_options> handle_;
};

// A fixed point in the order of all writes, at which reads can be made.
class Snapshot {
 public:
  std::uint64_t sequence() const noexcept { return aidb_snapshot_sequence(handle_.get()); }
  void release() noexcept { handle_.reset(); }
  aidb_snapshot* handle() const noexcept { return handle_.get(); }

 private:
  friend class DB;
  explicit Snapshot(aidb_snapshot* handle) : handle_(handle) {}
  detail::Owned<aidb_snapshot> handle_;
};

struct WriteOptions {
  // Return only when this write, and all before it, would survive a power loss.
  bool sync = false;
};

struct ReadOptions {
  // Read the database as this snapshot sees it, or without one as it is now. The snapshot must live until the
  // call returns.
  const Snapshot* snapshot = nullptr;
  bool fill_cache = true;
};

struct CountOptions {
  // As for ReadOptions.
  const Snapshot* snapshot = nullptr;
  std::optional<std::string_view> prefix{};
  bool fill_cache = false;
};

struct IterOptions {
  // As for ReadOptions.
  const Snapshot* snapshot = nullptr;
  // The smallest key to show, and the upper bound, which is not shown.
  std::optional<std::string> lower_bound{};
  std::optional<std::string> upper_bound{};
  std::optional<std::string> prefix{};
  // Go from the largest key down.
  bool reverse = false;
  bool keys = true;
  bool values = true;
  bool fill_cache = true;
};

struct TransactionOptions {
  // Refuse writes. What the transaction reads is then not kept in memory, and it never conflicts.
  bool read_only = false;
};

namespace detail {

inline aidb_write_options c_options(WriteOptions options, std::uint64_t* sequence) noexcept {
  aidb_write_options c = AIDB_WRITE_OPTIONS_INIT;
  c.sync = options.sync;
  c.sequence_out = sequence;
  return c;
}
inline aidb_read_options c_options(ReadOptions options) noexcept {
  aidb_read_options c = AIDB_READ_OPTIONS_INIT;
  c.snapshot = options.snapshot ? options.snapshot->handle() : nullptr;
  c.fill_cache = options.fill_cache;
  return c;
}
// Points into `options`.
inline aidb_iter_options c_options(const IterOptions& options) noexcept {
  aidb_iter_options c = AIDB_ITER_OPTIONS_INIT;
  c.snapshot = options.snapshot ? options.snapshot->handle() : nullptr;
  if (options.lower_bound) {
    c.lower_bound = options.lower_bound->data();
    c.lower_bound_len = options.lower_bound->size();
  }
  if (options.upper_bound) {
    c.upper_bound = options.upper_bound->data();
    c.upper_bound_len = options.upper_bound->size();
  }
  if (options.prefix) {
    c.prefix = options.prefix->data();
    c.prefix_len = options.prefix->size();
  }
  c.reverse = options.reverse;
  c.keys = options.keys;
  c.values = options.values;
  c.fill_cache = options.fill_cache;
  return c;
}

}  // namespace detail

// A value lent without a copy; its bytes stay valid until it is destroyed.
class Value {
 public:
  std::string_view view() const noexcept {
    return {aidb_pinned_data(handle_.get()), aidb_pinned_len(handle_.get())};
  }
  operator std::string_view() const noexcept { return view(); }
  std::string str() const { return std::string(view()); }
  const char* data() const noexcept { return aidb_pinned_data(handle_.get()); }
  std::size_t size() const noexcept { return aidb_pinned_len(handle_.get()); }

 private:
  friend class DB;
  friend class Transaction;
  explicit Value(aidb_pinned* handle) : handle_(handle) {}
  detail::Owned<aidb_pinned> handle_;
};

// One operation of a WriteBatch; what it does not have is empty.
struct Operation {
  // A kind that a program does not know must not be taken for another.
  aidb_operation_kind kind;
  // The key; of a range delete the first key that it removes, empty if the range has no start.
  std::string_view key;
  // The value of a put.
  std::string_view value;
  // The end of a range delete, the first key after the range; std::nullopt: it has none.
  std::optional<std::string_view> end;
};

// Several writes, applied together by DB::write.
class WriteBatch {
 public:
  WriteBatch() : handle_(aidb_batch_new()) {}

  void put(std::string_view key, std::string_view value) {
    detail::Check check;
    check(aidb_batch_put(handle_.get(), key.data(), key.size(), value.data(), value.size(),
                         check.out()));
  }
  void erase(std::string_view key) {
    detail::Check check;
    check(aidb_batch_delete(handle_.get(), key.data(), key.size(), check.out()));
  }
  // Deletes the keys in [start, end), but not those that the batch puts later; a missing bound means no limit on that
  // side. Nothing is added if the two are equal; throws AIDB_INVALID_ARGUMENT if `end` is before `start`.
  void delete_range(std::optional<std::string_view> start, std::optional<std::string_view> end) {
    detail::Check check;
    check(aidb_batch_delete_range(handle_.get(), detail::data(start), detail::size(start), detail::data(end),
                                  detail::size(end), check.out()));
  }
  // Deletes the keys that start with `prefix`, in the same way; an empty one deletes all keys.
  void delete_prefix(std::string_view prefix) {
    detail::Check check;
    check(aidb_batch_delete_prefix(handle_.get(), prefix.data(), prefix.size(), check.out()));
  }
  void append(const WriteBatch& other) {
    detail::Check check;
    check(aidb_batch_append(handle_.get(), other.handle_.get(), check.out()));
  }
  void clear() {
    detail::Check check;
    check(aidb_batch_clear(handle_.get(), check.out()));
  }
  std::size_t size() const noexcept { return aidb_batch_count(handle_.get()); }
  bool empty() const noexcept { return size() == 0; }
  // The bytes that the batch takes in the log; in memory it takes 24 more for each operation except the first.
  std::size_t byte_size() const noexcept { return aidb_batch_byte_size(handle_.get()); }

  // Calls visit(operation) for each Operation, in order; its views are valid until `visit` returns. An exception of
  // `visit` ends the walk and passes through. `visit` cannot change the batch.
  template <typename Visit>
  void for_each(Visit visit) const {
    struct Context {
      Visit& visit;
      std::exception_ptr thrown{};
    } context{visit};
    const auto call = [](void* raw, const aidb_operation* operation) -> std::int32_t {
      Context& into = *static_cast<Context*>(raw);
      const aidb_operation& given = *operation;
      try {
        into.visit(Operation{given.kind, {given.key, given.key_len}, {given.value, given.value_len},
                             given.end ? std::optional(std::string_view(given.end, given.end_len)) : std::nullopt});
        return 0;
      } catch (...) {
        into.thrown = std::current_exception();
        return 1;
      }
    };
    detail::Check check;
    const Status status = aidb_batch_operations(handle_.get(), &context, call, check.out());
    if (context.thrown) std::rethrow_exception(context.thrown);
    check(status);
  }
  // The puts and deletes in order: a key and its new value, or no value for a delete. Throws AIDB_UNSUPPORTED if there
  // is an operation of another kind.
  std::vector<std::pair<std::string, std::optional<std::string>>> operations() const {
    std::vector<std::pair<std::string, std::optional<std::string>>> list;
    for_each([&](const Operation& operation) {
      if (operation.kind == AIDB_OPERATION_PUT) {
        list.emplace_back(operation.key, std::string(operation.value));
      } else if (operation.kind == AIDB_OPERATION_DELETE) {
        list.emplace_back(operation.key, std::nullopt);
      } else {
        throw Error(AIDB_UNSUPPORTED, false,
                    "the batch has an operation that is neither a put nor a delete: for_each shows it");
      }
    });
    return list;
  }
  aidb_batch* handle() const noexcept { return handle_.get(); }

 private:
  detail::Owned<aidb_batch> handle_;
};

// A position in the entries. Each move returns whether the iterator is then on an entry; key and value are
// valid until the next move. One range-based for can walk it.
class Iterator {
 public:
  bool first() { return move(aidb_iter_first); }
  bool last() { return move(aidb_iter_last); }
  bool next() { return move(aidb_iter_next); }
  bool prev() { return move(aidb_iter_prev); }
  bool seek(std::string_view key) { return move(aidb_iter_seek, key); }
  bool seek_for_prev(std::string_view key) { return move(aidb_iter_seek_for_prev, key); }
  bool valid() const noexcept { return aidb_iter_valid(handle_.get()); }
  std::string_view key() const noexcept {
    std::size_t len = 0;
    const char* data = aidb_iter_key(handle_.get(), &len);
    return {data, len};
  }
  std::string_view value() const noexcept {
    std::size_t len = 0;
    const char* data = aidb_iter_value(handle_.get(), &len);
    return {data, len};
  }
  aidb_iterator* handle() const noexcept { return handle_.get(); }

  struct Sentinel {};
  // Enough of an input iterator for a range-based for.
  class Walk {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = std::pair<std::string_view, std::string_view>;
    using difference_type = std::ptrdiff_t;
    using pointer = const value_type*;
    using reference = value_type;

    value_type operator*() const noexcept { return {iterator_->key(), iterator_->value()}; }
    Walk& operator++() {
      on_entry_ = iterator_->next();
      return *this;
    }
    bool operator!=(Sentinel) const noexcept { return on_entry_; }
    bool operator==(Sentinel) const noexcept { return !on_entry_; }

   private:
    friend class Iterator;
    explicit Walk(Iterator* iterator) : iterator_(iterator), on_entry_(iterator->first()) {}
    Iterator* iterator_;
    bool on_entry_;
  };
  Walk begin() { return Walk(this); }
  Sentinel end() const noexcept { return {}; }

 private:
  friend class DB;
  friend class Transaction;
  explicit Iterator(aidb_iterator* handle) : handle_(handle) {}

  template <typename Function>
  static Iterator made(Function function) {
    detail::Check check;
    aidb_iterator* iterator = nullptr;
    check(function(&iterator, check.out()));
    return Iterator(iterator);
  }

  template <typename Function>
  bool move(Function function) {
    detail::Check check;
    return check(function(handle_.get(), check.out()));
  }
  template <typename Function>
  bool move(Function function, std::string_view key) {
    detail::Check check;
    return check(function(handle_.get(), key.data(), key.size(), check.out()));
  }
  detail::Owned<aidb_iterator> handle_;
};

// Reads and writes that take place at once, or not at all: the comment on aidb_transaction in aidb.h says what that
// means. The destructor rolls back what was not committed. One thread at a time may use it. After the end its calls
// throw AIDB_CLOSED.
class Transaction {
 public:
  // What is read counts as read: the commit throws AIDB_CONFLICT if another commit has changed it since.
  std::optional<std::string> get(std::string_view key) const {
    std::optional<Value> value = get_pinned(key);
    if (!value) return std::nullopt;
    return value->str();
  }
  std::optional<Value> get_pinned(std::string_view key) const {
    detail::Check check;
    aidb_pinned* pinned = nullptr;
    if (!check(aidb_transaction_get_pinned(handle_.get(), key.data(), key.size(), &pinned, check.out()))) {
      return std::nullopt;
    }
    return Value(pinned);
  }
  template <typename Keys>
  std::vector<std::optional<std::string>> get_many(const Keys& keys) const {
    return detail::many(keys, [&](std::size_t count, const void* const* data, const std::size_t* lens,
                                  const char** values, std::size_t* value_lens, char** buffer, aidb_error** error) {
      return aidb_transaction_get_many(handle_.get(), count, data, lens, values, value_lens, buffer, error);
    });
  }
  bool contains(std::string_view key) const {
    detail::Check check;
    return check(aidb_transaction_contains(handle_.get(), key.data(), key.size(), check.out()));
  }
  // An iterator over the entries, with the writes of the transaction made so far; `options` without a snapshot. The keys
  // between where it is placed and where it stands count as read.
  Iterator iterator(const IterOptions& options = {}) const {
    aidb_iter_options c = detail::c_options(options);
    return Iterator::made([&](aidb_iterator** out, aidb_error** error) {
      return aidb_transaction_iter_create(handle_.get(), &c, out, error);
    });
  }
  // The keys in [start, end).
  Iterator range(std::string_view start, std::string_view end) const {
    IterOptions options;
    options.lower_bound = start;
    options.upper_bound = end;
    return iterator(options);
  }
  Iterator prefix(std::string_view prefix) const {
    IterOptions options;
    options.prefix = prefix;
    return iterator(options);
  }

  // Others see the writes when the transaction has been committed.
  void put(std::string_view key, std::string_view value) {
    detail::Check check;
    check(aidb_transaction_put(handle_.get(), key.data(), key.size(), value.data(), value.size(), check.out()));
  }
  void erase(std::string_view key) {
    detail::Check check;
    check(aidb_transaction_delete(handle_.get(), key.data(), key.size(), check.out()));
  }
  // Removes the keys in [start, end): those that are there at the commit, and those that the transaction has written
  // before. A missing bound means no limit on that side.
  void delete_range(std::optional<std::string_view> start, std::optional<std::string_view> end) {
    detail::Check check;
    check(aidb_transaction_delete_range(handle_.get(), detail::data(start), detail::size(start), detail::data(end),
                                        detail::size(end), check.out()));
  }
  // Removes the keys that start with `prefix`, in the same way; an empty one removes all keys.
  void delete_prefix(std::string_view prefix) {
    detail::Check check;
    check(aidb_transaction_delete_prefix(handle_.get(), prefix.data(), prefix.size(), check.out()));
  }
  void write(const WriteBatch& batch) {
    detail::Check check;
    check(aidb_transaction_write(handle_.get(), batch.handle(), check.out()));
  }

  // A point to which rollback_to takes the writes back; what was read since then still counts as read.
  std::uint64_t savepoint() {
    detail::Check check;
    std::uint64_t savepoint = 0;
    check(aidb_transaction_savepoint(handle_.get(), &savepoint, check.out()));
    return savepoint;
  }
  void rollback_to(std::uint64_t savepoint) {
    detail::Check check;
    check(aidb_transaction_rollback_to(handle_.get(), savepoint, check.out()));
  }
  // Makes the writes visible, all at once, and ends the transaction. Returns the number of the last operation, or without
  // writes that of the last write that the transaction saw. Throws AIDB_CONFLICT if what it has read was changed: nothing
  // was written.
  std::uint64_t commit(WriteOptions options = {}) {
    detail::Check check;
    std::uint64_t sequence = 0;
    aidb_write_options c = detail::c_options(options, &sequence);
    check(aidb_transaction_commit(handle_.get(), &c, check.out()));
    return sequence;
  }
  // Ends the transaction without writing anything. Not an error if it has ended.
  void rollback() {
    detail::Check check;
    check(aidb_transaction_rollback(handle_.get(), check.out()));
  }
  aidb_transaction* handle() const noexcept { return handle_.get(); }

 private:
  friend class DB;
  explicit Transaction(aidb_transaction* handle) : handle_(handle) {}
  detail::Owned<aidb_transaction> handle_;
};

// The result of verify and repair: whether all is well, and the whole report as JSON (aidb.h lists the fields).
struct Report {
  bool is_ok;
  std::string json;
};

// Called with how much is done, and how much there is in all; returns whether to continue.
using Progress = std::function<bool(std::uint64_t, std::uint64_t)>;

// An open database. Its destructor closes it but cannot report a failure; call close() to see one.
class DB {
 public:
  explicit DB(const std::string& path, const Options& options = Options()) {
    detail::Check check;
    aidb_db* db = nullptr;
    check(aidb_open(detail::c_text(path, "the path"), options.handle(), &db, check.out()));
    handle_.reset(db);
  }
  static void destroy(const std::string& path, const Options& options = Options()) {
    detail::Check check;
    check(aidb_destroy(detail::c_text(path, "the path"), options.handle(), check.out()));
  }
  // Makes a new database from what can still be read of the damaged one in `path`. `into` is missing, empty, or an
  // incomplete copy, which is replaced.
  static Report repair(const std::string& path, const std::string& into,
                       const Options& options = Options()) {
    detail::Check check;
    bool is_ok = false;
    char* json = nullptr;
    check(aidb_repair(detail::c_text(path, "the path"), detail::c_text(into, "the path"), options.handle(), &is_ok, &json, check.out()));
    return Report{is_ok, detail::text(json)};
  }

  // Writes return their sequence number: for a batch that of its last operation, for an empty batch the newest
  // number that readers see. A snapshot sees the write if its sequence() is at least that number.
  std::uint64_t put(std::string_view key, std::string_view value, WriteOptions options = {}) {
    detail::Check check;
    std::uint64_t sequence = 0;
    aidb_write_options c = detail::c_options(options, &sequence);
    check(aidb_put(handle_.get(), key.data(), key.size(), value.data(), value.size(), &c,
                   check.out()));
    return sequence;
  }
  std::uint64_t erase(std::string_view key, WriteOptions options = {}) {
    detail::Check check;
    std::uint64_t sequence = 0;
    aidb_write_options c = detail::c_options(options, &sequence);
    check(aidb_delete(handle_.get(), key.data(), key.size(), &c, check.out()));
    return sequence;
  }
  // Deletes the keys in [start, end) with one small write, which takes no time for each key; a missing bound means no
  // limit on that side. Writes nothing if the two are equal; throws AIDB_INVALID_ARGUMENT if `end` is before `start`.
  std::uint64_t delete_range(std::optional<std::string_view> start, std::optional<std::string_view> end,
                             WriteOptions options = {}) {
    detail::Check check;
    std::uint64_t sequence = 0;
    aidb_write_options c = detail::c_options(options, &sequence);
    check(aidb_delete_range(handle_.get(), detail::data(start), detail::size(start), detail::data(end),
                            detail::size(end), &c, check.out()));
    return sequence;
  }
  // Deletes the keys that start with `prefix`, in the same way; an empty one deletes all keys.
  std::uint64_t delete_prefix(std::string_view prefix, WriteOptions options = {}) {
    detail::Check check;
    std::uint64_t sequence = 0;
    aidb_write_options c = detail::c_options(options, &sequence);
    check(aidb_delete_prefix(handle_.get(), prefix.data(), prefix.size(), &c, check.out()));
    return sequence;
  }
  std::uint64_t write(const WriteBatch& batch, WriteOptions options = {}) {
    detail::Check check;
    std::uint64_t sequence = 0;
    aidb_write_options c = detail::c_options(options, &sequence);
    check(aidb_write(handle_.get(), batch.handle(), &c, check.out()));
    return sequence;
  }

  std::optional<std::string> get(std::string_view key, ReadOptions options = {}) const {
    std::optional<Value> value = get_pinned(key, options);
    if (!value) return std::nullopt;
    return value->str();
  }
  std::optional<Value> get_pinned(std::string_view key, ReadOptions options = {}) const {
    detail::Check check;
    aidb_read_options c = detail::c_options(options);
    aidb_pinned* pinned = nullptr;
    if (!check(aidb_get_pinned(handle_.get(), key.data(), key.size(), &c, &pinned, check.out()))) {
      return std::nullopt;
    }
    return Value(pinned);
  }
  // The values of many keys, all read at one point in the order of writes.
  template <typename Keys>
  std::vector<std::optional<std::string>> get_many(const Keys& keys,
                                                   ReadOptions options = {}) const {
    aidb_read_options c = detail::c_options(options);
    return detail::many(keys, [&](std::size_t count, const void* const* data, const std::size_t* lens,
                                  const char** values, std::size_t* value_lens, char** buffer, aidb_error** error) {
      return aidb_get_many(handle_.get(), count, data, lens, &c, values, value_lens, buffer, error);
    });
  }
  bool contains(std::string_view key, ReadOptions options = {}) const {
    detail::Check check;
    aidb_read_options c = detail::c_options(options);
    return check(aidb_contains(handle_.get(), key.data(), key.size(), &c, check.out()));
  }

  // Begins a transaction, which sees every write acknowledged before.
  Transaction begin(TransactionOptions options = {}) {
    detail::Check check;
    aidb_transaction_options c = AIDB_TRANSACTION_OPTIONS_INIT;
    c.read_only = options.read_only;
    aidb_transaction* transaction = nullptr;
    check(aidb_transaction_begin(handle_.get(), &c, &transaction, check.out()));
    return Transaction(transaction);
  }
  // Calls work(transaction) and commits; returns what `work` returned. After a conflict calls it again, in a new
  // transaction and after a pause, up to `attempts` times (at least 1) in all, so it must have no effects besides. Throws
  // AIDB_CONFLICT after the last attempt. An exception of `work`, other than an AIDB_CONFLICT, rolls back and passes
  // through. `work` must not commit; calling transaction.rollback() and returning throws AIDB_CLOSED.
  template <typename Work>
  auto run_transaction(std::uint32_t attempts, Work work, WriteOptions options = {}) {
    using Result = std::decay_t<std::invoke_result_t<Work&, Transaction&>>;
    if constexpr (std::is_void_v<Result>) {
      run(attempts, [&](Transaction& transaction) { work(transaction); }, options);
    } else {
      std::optional<Result> result;
      run(attempts, [&](Transaction& transaction) { result.emplace(work(transaction)); }, options);
      return Result(std::move(*result));
    }
  }

  // Each of these reads and writes one key at once: nobody can change it in between. They never throw AIDB_CONFLICT.

  // If the key has the value `expected` (none: it is absent), gives it `value` (none: removes it). Returns whether it
  // had that value.
  bool compare_and_set(std::string_view key, std::optional<std::string_view> expected,
                       std::optional<std::string_view> value, WriteOptions options = {}) {
    detail::Check check;
    aidb_write_options c = detail::c_options(options, nullptr);
    bool was_set = false;
    check(aidb_compare_and_set(handle_.get(), key.data(), key.size(), detail::data(expected), detail::size(expected),
                               detail::data(value), detail::size(value), &c, &was_set, check.out()));
    return was_set;
  }
  // Stores the value unless the key has one; returns whether it did.
  bool put_if_absent(std::string_view key, std::string_view value, WriteOptions options = {}) {
    detail::Check check;
    aidb_write_options c = detail::c_options(options, nullptr);
    bool was_put = false;
    check(aidb_put_if_absent(handle_.get(), key.data(), key.size(), value.data(), value.size(), &c, &was_put,
                             check.out()));
    return was_put;
  }
  // These two return the value that the key had before.
  std::optional<std::string> get_and_put(std::string_view key, std::string_view value, WriteOptions options = {}) {
    return exchanged(
        [&](const aidb_write_options* c, char** previous, std::size_t* len, aidb_error** error) {
          return aidb_get_and_put(handle_.get(), key.data(), key.size(), value.data(), value.size(), c, previous, len,
                                  error);
        },
        options);
  }
  std::optional<std::string> get_and_delete(std::string_view key, WriteOptions options = {}) {
    return exchanged(
        [&](const aidb_write_options* c, char** previous, std::size_t* len, aidb_error** error) {
          return aidb_get_and_delete(handle_.get(), key.data(), key.size(), c, previous, len, error);
        },
        options);
  }

  Snapshot snapshot() const {
    detail::Check check;
    aidb_snapshot* snapshot = nullptr;
    check(aidb_snapshot_create(handle_.get(), &snapshot, check.out()));
    return Snapshot(snapshot);
  }
  Iterator iterator(const IterOptions& options = {}) const {
    aidb_iter_options c = detail::c_options(options);
    return Iterator::made([&](aidb_iterator** out, aidb_error** error) {
      return aidb_iter_create(handle_.get(), &c, out, error);
    });
  }
  // The keys in [start, end).
  Iterator range(std::string_view start, std::string_view end) const {
    return Iterator::made([&](aidb_iterator** out, aidb_error** error) {
      return aidb_iter_range(handle_.get(), detail::data(start), start.size(), detail::data(end),
                             end.size(), out, error);
    });
  }
  Iterator prefix(std::string_view prefix) const {
    return Iterator::made([&](aidb_iterator** out, aidb_error** error) {
      return aidb_iter_prefix(handle_.get(), prefix.data(), prefix.size(), out, error);
    });
  }

  void flush() {
    detail::Check check;
    check(aidb_flush(handle_.get(), check.out()));
  }
  // Compacts the keys in [start, end); a missing bound means no limit on that side.
  void compact_range(std::optional<std::string_view> start = std::nullopt,
                     std::optional<std::string_view> end = std::nullopt) {
    detail::Check check;
    check(aidb_compact_range(handle_.get(), start ? detail::data(*start) : nullptr,
                             start ? start->size() : 0, end ? detail::data(*end) : nullptr,
                             end ? end->size() : 0, check.out()));
  }
  // About how many bytes the keys in [start, end) take in tables; a missing bound means no limit on that side.
  std::uint64_t approximate_size(std::optional<std::string_view> start = std::nullopt,
                                 std::optional<std::string_view> end = std::nullopt) const {
    detail::Check check;
    std::uint64_t size = 0;
    check(aidb_approximate_size(handle_.get(), start ? detail::data(*start) : nullptr,
                                start ? start->size() : 0, end ? detail::data(*end) : nullptr,
                                end ? end->size() : 0, &size, check.out()));
    return size;
  }
  // About how many entries have keys in [start, end); a missing bound means no limit on that side. aidb.h says how
  // far off it can be.
  std::uint64_t approximate_count(std::optional<std::string_view> start = std::nullopt,
                                  std::optional<std::string_view> end = std::nullopt) const {
    detail::Check check;
    std::uint64_t count = 0;
    check(aidb_approximate_count(handle_.get(), start ? detail::data(*start) : nullptr,
                                 start ? start->size() : 0, end ? detail::data(*end) : nullptr,
                                 end ? end->size() : 0, &count, check.out()));
    return count;
  }
  // How many entries have keys in [start, end), at one point in the order of writes; a missing bound means no limit
  // on that side. `progress(counted, approximate_total)` returns whether to continue; if not, the result is what was
  // counted so far. If it throws, the count ends and rethrows the exception here.
  std::uint64_t count(std::optional<std::string_view> start = std::nullopt,
                      std::optional<std::string_view> end = std::nullopt, CountOptions options = {},
                      const Progress& progress = nullptr) const {
    aidb_count_options c = AIDB_COUNT_OPTIONS_INIT;
    c.snapshot = options.snapshot ? options.snapshot->handle() : nullptr;
    if (options.prefix) {
      c.prefix = detail::data(*options.prefix);
      c.prefix_len = options.prefix->size();
    }
    c.fill_cache = options.fill_cache;
    Told told{progress};
    detail::Check check;
    std::uint64_t count = 0;
    const Status status =
        aidb_count(handle_.get(), start ? detail::data(*start) : nullptr, start ? start->size() : 0,
                   end ? detail::data(*end) : nullptr, end ? end->size() : 0, &c, told.callback(), &told,
                   &count, check.out());
    told.rethrow();
    check(status);
    return count;
  }
  // The report with this name; empty for an unknown name.
  std::optional<std::string> property(const std::string& name) const {
    detail::Check check;
    char* report = nullptr;
    if (!check(aidb_property(handle_.get(), detail::c_text(name, "the name"), &report, check.out()))) {
      return std::nullopt;
    }
    return detail::text(report);
  }
  // Makes a consistent copy in the directory `path` while reads and writes go on. `path` is missing, empty, or an
  // incomplete copy, which is replaced.
  void checkpoint(const std::string& path) {
    detail::Check check;
    check(aidb_checkpoint(handle_.get(), detail::c_text(path, "the path"), check.out()));
  }
  // Checks every byte on disk, and that reads find what is there. `progress(bytes_done, bytes_total)` returns
  // whether to continue; if it throws, the verification ends and rethrows the exception here. Damage is in
  // the report, not thrown.
  Report verify(const Progress& progress = nullptr) const {
    Told told{progress};
    detail::Check check;
    bool is_ok = false;
    char* json = nullptr;
    const Status status = aidb_verify(handle_.get(), told.callback(), &told, &is_ok, &json, check.out());
    if (told.thrown) aidb_free(json);
    told.rethrow();
    check(status);
    return Report{is_ok, detail::text(json)};
  }
  std::string stats_json() const {
    detail::Check check;
    char* json = nullptr;
    check(aidb_stats_json(handle_.get(), &json, check.out()));
    return detail::text(json);
  }
  std::string path() const {
    detail::Check check;
    char* path = nullptr;
    check(aidb_path(handle_.get(), &path, check.out()));
    return detail::text(path);
  }
  // Closing again is not an error.
  void close() {
    if (!handle_) return;
    detail::Check check;
    // The handle stays, so that later calls answer AIDB_CLOSED.
    const Status status = aidb_close(handle_.get(), check.out());
    if (status != AIDB_CLOSED) check(status);
  }
  bool is_closed() const noexcept { return aidb_is_closed(handle_.get()); }
  aidb_db* handle() const noexcept { return handle_.get(); }

 private:
  // Calls a Progress from C, and keeps the exception that it throws.
  struct Told {
    const Progress& progress;
    std::exception_ptr thrown{};
    aidb_progress_callback callback() const noexcept { return progress ? &call : nullptr; }
    void rethrow() const {
      if (thrown) std::rethrow_exception(thrown);
    }
    static std::int32_t call(void* raw, std::uint64_t done, std::uint64_t total) {
      Told& told = *static_cast<Told*>(raw);
      try {
        return told.progress(done, total) ? 0 : 1;
      } catch (...) {
        told.thrown = std::current_exception();
        return 1;
      }
    }
  };
  void run(std::uint32_t attempts, const std::function<void(Transaction&)>& work, WriteOptions options) {
    struct Context {
      const std::function<void(Transaction&)>* work;
      std::exception_ptr thrown;
      std::int32_t returned;
    } context{&work, nullptr, AIDB_OK};
    const auto call = [](void* raw, aidb_transaction* handle, aidb_error**) -> std::int32_t {
      Context& into = *static_cast<Context*>(raw);
      Transaction transaction(handle);
      into.thrown = nullptr;
      into.returned = AIDB_OK;
      try {
        (*into.work)(transaction);
      } catch (const Error& error) {
        into.thrown = std::current_exception();
        into.returned = error.status() == AIDB_CONFLICT ? AIDB_CONFLICT : AIDB_INTERNAL;
      } catch (...) {
        into.thrown = std::current_exception();
        into.returned = AIDB_INTERNAL;
      }
      // aidb_run_transaction ends it.
      static_cast<void>(transaction.handle_.release());
      return into.returned;
    };
    detail::Check check;
    aidb_write_options c = detail::c_options(options, nullptr);
    const Status status = aidb_run_transaction(handle_.get(), attempts, &c, call, &context, check.out());
    if (context.thrown && status == context.returned) std::rethrow_exception(context.thrown);
    check(status);
  }
  template <typename Function>
  std::optional<std::string> exchanged(Function function, WriteOptions options) {
    detail::Check check;
    aidb_write_options c = detail::c_options(options, nullptr);
    char* previous = nullptr;
    std::size_t len = 0;
    if (!check(function(&c, &previous, &len, check.out()))) return std::nullopt;
    return detail::bytes(previous, len);
  }
  detail::Owned<aidb_db> handle_{};
};

}  // namespace aidb

#endif  // AIDB_HPP
