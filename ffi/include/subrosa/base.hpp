// Errors, ids, secrets, cancel tokens, and what every handle shares. Included by subrosa.hpp.
#ifndef SUBROSA_BASE_HPP
#define SUBROSA_BASE_HPP

#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "../subrosa.h"

namespace subrosa {

typedef std::vector<std::uint8_t> bytes;
typedef subrosa_public_key public_key;
typedef subrosa_vault_id vault_id;

// A value or nothing, as std::optional, for values that can be made empty.
template <class T>
class optional {
 public:
  optional() : has_(false), value_() {}
  optional(T value) : has_(true), value_(std::move(value)) {}
  bool has_value() const noexcept { return has_; }
  explicit operator bool() const noexcept { return has_; }
  T &value() { return has_ ? value_ : throw std::logic_error("subrosa::optional is empty"); }
  const T &value() const { return has_ ? value_ : throw std::logic_error("subrosa::optional is empty"); }
  T &operator*() { return value(); }
  const T &operator*() const { return value(); }
  T *operator->() { return &value(); }
  const T *operator->() const { return &value(); }
  T value_or(T other) const { return has_ ? value_ : std::move(other); }

 private:
  bool has_;
  T value_;
};

// A failed call. code() is a SUBROSA_* status; codes of later versions of the library pass through.
class error : public std::runtime_error {
 public:
  error(std::int32_t code, const subrosa_error *detail)
      : std::runtime_error(text(code, detail)),
        code_(code),
        retryable_(subrosa_error_retryable(detail)),
        number_(subrosa_error_number(detail)) {}
  std::int32_t code() const noexcept { return code_; }
  const char *name() const noexcept { return subrosa_status_name(code_); }
  bool retryable() const noexcept { return retryable_; }
  std::int64_t number() const noexcept { return number_; }

 private:
  static std::string text(std::int32_t code, const subrosa_error *detail) {
    std::string all = subrosa_status_name(code);
    const char *message = subrosa_error_message(detail);
    if (*message != '\0') all.append(": ").append(message);
    for (std::size_t i = 0, n = subrosa_error_causes(detail); i < n; i++) {
      all.append(": ").append(subrosa_error_cause(detail, i));
    }
    return all;
  }
  std::int32_t code_;
  bool retryable_;
  std::int64_t number_;
};

namespace detail {

// Owns the error of one call: `trial t; t(subrosa_x(..., t.slot()));` throws when the call failed.
class trial {
 public:
  trial() : raw_(nullptr) {}
  ~trial() { subrosa_error_free(raw_); }
  trial(const trial &) = delete;
  trial &operator=(const trial &) = delete;
  subrosa_error **slot() noexcept { return &raw_; }
  void operator()(std::int32_t status) const {
    if (status != SUBROSA_OK) throw error(status, raw_);
  }

 private:
  subrosa_error *raw_;
};

class buffer {
 public:
  buffer() : raw_() {}
  ~buffer() { subrosa_buf_free(&raw_); }
  buffer(const buffer &) = delete;
  buffer &operator=(const buffer &) = delete;
  subrosa_buf *out() noexcept { return &raw_; }
  const std::uint8_t *data() const noexcept { return raw_.data; }
  std::size_t size() const noexcept { return raw_.len; }
  std::string text() const { return raw_.len == 0 ? std::string() : std::string(reinterpret_cast<const char *>(raw_.data), raw_.len); }
  bytes all() const { return raw_.len == 0 ? bytes() : bytes(raw_.data, raw_.data + raw_.len); }

 private:
  subrosa_buf raw_;
};

template <class Raw, void (*Close)(Raw *)>
class handle {
 public:
  handle() noexcept : raw_(nullptr) {}
  explicit handle(Raw *raw) noexcept : raw_(raw) {}  // takes it
  handle(handle &&other) noexcept : raw_(other.release()) {}
  handle &operator=(handle &&other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  handle(const handle &) = delete;
  handle &operator=(const handle &) = delete;
  ~handle() { reset(); }
  explicit operator bool() const noexcept { return raw_ != nullptr; }
  Raw *raw() const noexcept { return raw_; }
  Raw *release() noexcept {
    Raw *raw = raw_;
    raw_ = nullptr;
    return raw;
  }
  void reset(Raw *raw = nullptr) noexcept {
    if (raw_ != nullptr) Close(raw_);
    raw_ = raw;
  }

 private:
  Raw *raw_;
};

// What may be left out. An object that was given but is closed, or moved from, is not left out: a write that was meant for
// a transaction must not happen outside of it.
template <class Handle>
auto raw_or_null(Handle *handle) -> decltype(handle->raw()) {
  if (handle == nullptr) return nullptr;
  if (handle->raw() == nullptr) throw error(SUBROSA_INVALID_HANDLE, nullptr);
  return handle->raw();
}

// In a callback the library refuses to close what would wait for that callback. An object may still end there: a thread
// of its own closes the rest once the callback has returned.
template <class Raw>
void close_later(std::int32_t (*close)(Raw *, subrosa_error **), Raw *raw) noexcept {
  try {
    std::thread([close, raw] { close(raw, nullptr); }).detach();
  } catch (const std::system_error &) {  // no thread to be had: it stays until the process ends
  }
}
inline void close_device(subrosa_device *raw) noexcept {
  if (subrosa_device_close(raw, nullptr) == SUBROSA_WOULD_DEADLOCK) close_later(subrosa_device_close, raw);
}
inline void close_events(subrosa_events *raw) noexcept {
  if (subrosa_events_close(raw, nullptr) != SUBROSA_WOULD_DEADLOCK) return;
  subrosa_events_unlisten(raw, nullptr);  // the function is not called again
  close_later(subrosa_events_close, raw);
}
inline void close_sync(subrosa_sync *raw) { subrosa_sync_stop(raw, nullptr); }

// Callbacks must not unwind into the library: what a std::function throws ends the process (noexcept).
template <class Function>
void free_function(void *user) noexcept {
  delete static_cast<Function *>(user);
}
inline void on_done(void *user, std::int32_t status, subrosa_error *raw) noexcept {
  typedef std::function<void(const error *)> function;
  std::unique_ptr<function> done(static_cast<function *>(user));
  if (status == SUBROSA_OK) {
    (*done)(nullptr);
  } else {
    const error failed(status, raw);
    (*done)(&failed);
  }
  subrosa_error_free(raw);
}
inline void on_log(void *user, std::int32_t level, const char *message) noexcept {
  (*static_cast<std::function<void(std::int32_t, const char *)> *>(user))(level, message);
}

}  // namespace detail

// Throws unless the library that was loaded is of the version this header was made for. Opening a device or making a key asks.
inline void check_abi() {
  if (subrosa_abi_version() != SUBROSA_ABI_VERSION) {
    throw std::runtime_error("libsubrosa has ABI version " + std::to_string(subrosa_abi_version()) + ", this program needs " +
                             std::to_string(SUBROSA_ABI_VERSION));
  }
}

inline std::string version() { return subrosa_version(); }

// An empty function turns it off.
inline void set_log(std::int32_t level_max, std::function<void(std::int32_t, const char *)> log) {
  typedef std::function<void(std::int32_t, const char *)> function;
  detail::trial t;
  if (!log) return t(subrosa_log_set(0, nullptr, nullptr, nullptr, t.slot()));
  // The library frees the function in every case, also when it refuses it.
  t(subrosa_log_set(level_max, detail::on_log, new function(std::move(log)), detail::free_function<function>, t.slot()));
}

struct id {
  subrosa_id raw;
  id() : raw() {}
  explicit id(const subrosa_id &from) : raw(from) {}
  static id parse(const std::string &text) {
    id out;
    detail::trial t;
    t(subrosa_id_parse(text.data(), text.size(), &out.raw, t.slot()));
    return out;
  }
  static id from_name(const std::string &name) {
    id out;
    detail::trial t;
    t(subrosa_id_from_name(name.data(), name.size(), &out.raw, t.slot()));
    return out;
  }
  std::string text() const {
    char out[SUBROSA_ID_TEXT_LEN + 1];
    subrosa_id_text(&raw, out);
    return out;
  }
  friend bool operator==(const id &a, const id &b) { return std::memcmp(a.raw.bytes, b.raw.bytes, sizeof a.raw.bytes) == 0; }
  friend bool operator!=(const id &a, const id &b) { return !(a == b); }
  friend bool operator<(const id &a, const id &b) { return std::memcmp(a.raw.bytes, b.raw.bytes, sizeof a.raw.bytes) < 0; }
};

// Bytes that are wiped when they go. text() and copy() make ordinary, unwiped ones.
class secret {
 public:
  secret() noexcept : raw_() {}
  secret(secret &&other) noexcept : raw_(other.raw_) { other.raw_ = subrosa_secret(); }
  secret &operator=(secret &&other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  secret(const secret &) = delete;
  secret &operator=(const secret &) = delete;
  ~secret() { subrosa_secret_free(&raw_); }
  const std::uint8_t *data() const noexcept { return raw_.data; }
  std::size_t size() const noexcept { return raw_.len; }
  std::string text() const { return raw_.len == 0 ? std::string() : std::string(reinterpret_cast<const char *>(raw_.data), raw_.len); }
  bytes copy() const { return raw_.len == 0 ? bytes() : bytes(raw_.data, raw_.data + raw_.len); }
  subrosa_secret *out() noexcept { return &raw_; }

 private:
  subrosa_secret raw_;
};

class cancel : public detail::handle<subrosa_cancel, subrosa_cancel_close> {
 public:
  cancel() {
    detail::trial t;
    subrosa_cancel *out = nullptr;
    t(subrosa_cancel_new(&out, t.slot()));
    reset(out);
  }
  void fire() {
    detail::trial t;
    t(subrosa_cancel_fire(raw(), t.slot()));
  }
};

}  // namespace subrosa

#endif
