// Devices, events, sync, pairing. Included by subrosa.hpp.
#ifndef SUBROSA_DEVICE_HPP
#define SUBROSA_DEVICE_HPP

#include "crypto.hpp"
#include "data.hpp"

namespace subrosa {

struct event {
  std::int32_t kind;  // SUBROSA_EVENT_*
  std::uint64_t tag;
  std::int32_t detail;
  std::int64_t number;
  subrosa::id record;
  vault_id vault;
  std::string text;
  event() : kind(SUBROSA_EVENT_NONE), tag(0), detail(0), number(0), vault() {}
  explicit event(const subrosa_event &raw)
      : kind(raw.kind), tag(raw.tag), detail(raw.detail), number(raw.number), record(raw.record), vault(raw.vault) {
    if (raw.text.len != 0) text.assign(reinterpret_cast<const char *>(raw.text.data), raw.text.len);
  }
};

namespace detail {
inline void on_event(void *user, const subrosa_event *raw) noexcept {
  (*static_cast<std::function<void(const event &)> *>(user))(event(*raw));
}
}  // namespace detail

// Called with nullptr when it went well, exactly once per start that did not throw, on a thread of the library.
typedef std::function<void(const error *)> done;

namespace detail {
// The function is on_done's to free, unless the start failed.
template <class Start>
void start_async(done function, Start start) {
  if (!function) throw error(SUBROSA_INVALID_ARGUMENT, nullptr);
  std::unique_ptr<done> user(new done(std::move(function)));
  trial t;
  t(start(static_cast<void *>(user.get()), t.slot()));
  user.release();
}
}  // namespace detail

// A moment of a sync, to be waited for a little at a time: the relay is asked once.
class moment : public detail::handle<subrosa_moment, subrosa_moment_close> {
 public:
  moment() noexcept {}
  explicit moment(subrosa_moment *raw) noexcept : handle(raw) {}
  void wait(std::int32_t idle_ms, cancel *token = nullptr) const {
    detail::trial t;
    t(subrosa_moment_wait(raw(), idle_ms, detail::raw_or_null(token), t.slot()));
  }
};

class sync : public detail::handle<subrosa_sync, detail::close_sync> {
 public:
  sync() noexcept {}
  explicit sync(subrosa_sync *raw) noexcept : handle(raw) {}
  subrosa_sync_status status() const {
    subrosa_sync_status out = subrosa_sync_status();
    out.struct_size = sizeof out;
    detail::trial t;
    t(subrosa_sync_status_of(raw(), &out, t.slot()));
    return out;
  }
  std::string reason() const {
    detail::buffer out;
    detail::trial t;
    t(subrosa_sync_reason(raw(), out.out(), t.slot()));
    return out.text();
  }
  // The vaults with which not all is well at the relay.
  std::vector<vault_at_relay> vaults() const {
    detail::trial t;
    subrosa_list *out = nullptr;
    t(subrosa_sync_vaults(raw(), &out, t.slot()));
    const detail::list list(out);
    std::vector<vault_at_relay> all;
    for (std::size_t i = 0, n = list.size(); i < n; i++) all.push_back(list.at_relay(i));
    return all;
  }
  subrosa::moment moment() const {
    detail::trial t;
    subrosa_moment *out = nullptr;
    t(subrosa_sync_moment(raw(), &out, t.slot()));
    return subrosa::moment(out);
  }
  void wait(std::int32_t idle_ms, cancel *token = nullptr) const {
    detail::trial t;
    t(subrosa_sync_wait(raw(), idle_ms, detail::raw_or_null(token), t.slot()));
  }
  void wait_async(std::int32_t idle_ms, cancel *token, done function) const {
    detail::start_async(std::move(function), [&](void *user, subrosa_error **err) {
      return subrosa_sync_wait_async(raw(), idle_ms, detail::raw_or_null(token), detail::on_done, user, nullptr, err);
    });
  }
  void stop() {
    detail::trial t;
    t(subrosa_sync_stop(raw(), t.slot()));
    release();
  }
};

// A queue that any number of sources feed, until they end or remove() takes their tag away.
class events : public detail::handle<subrosa_events, detail::close_events> {
 public:
  events() {
    detail::trial t;
    subrosa_events *out = nullptr;
    t(subrosa_events_new(&out, t.slot()));
    reset(out);
  }
  void add(const vault &from, std::uint64_t tag = 0) {
    detail::trial t;
    t(subrosa_events_add_vault(raw(), from.raw(), tag, t.slot()));
  }
  void add(const collection &from, std::uint64_t tag = 0) {
    detail::trial t;
    t(subrosa_events_add_collection(raw(), from.raw(), tag, t.slot()));
  }
  void add(const sync &from, std::uint64_t tag = 0) {
    detail::trial t;
    t(subrosa_events_add_sync(raw(), from.raw(), tag, t.slot()));
  }
  // What the library has to say, of the whole process.
  void add_log(std::int32_t level_max, std::uint64_t tag = 0) {
    detail::trial t;
    t(subrosa_events_add_log(raw(), level_max, tag, t.slot()));
  }
  void remove(std::uint64_t tag) {
    detail::trial t;
    t(subrosa_events_remove(raw(), tag, t.slot()));
  }
  // Nothing when the time is over.
  optional<event> wait(std::int32_t timeout_ms, cancel *token = nullptr) {
    subrosa_event raw_event = subrosa_event();
    raw_event.struct_size = sizeof raw_event;
    detail::trial t;
    t(subrosa_events_wait(raw(), timeout_ms, detail::raw_or_null(token), &raw_event, t.slot()));
    const std::unique_ptr<subrosa_event, void (*)(subrosa_event *)> freed(&raw_event, subrosa_event_free);
    return raw_event.kind == SUBROSA_EVENT_NONE ? optional<event>() : optional<event>(event(raw_event));
  }
  // On a thread of the library, one at a time. What the function throws ends the process.
  void listen(std::function<void(const event &)> function) {
    typedef std::function<void(const event &)> kept;
    if (!function) throw error(SUBROSA_INVALID_ARGUMENT, nullptr);
    detail::trial t;
    t(subrosa_events_listen(raw(), detail::on_event, new kept(std::move(function)), detail::free_function<kept>, t.slot()));
  }
  void unlisten() {
    detail::trial t;
    t(subrosa_events_unlisten(raw(), t.slot()));
  }
  void close() {
    detail::trial t;
    t(subrosa_events_close(raw(), t.slot()));
    release();
  }
};

struct pair_request {
  std::string code;  // six digits
  std::string name;  // what the new device calls itself
};

// The old device's side. Closing it withdraws the link.
class pair_offer : public detail::handle<subrosa_pair_offer, subrosa_pair_offer_close> {
 public:
  pair_offer() noexcept {}
  explicit pair_offer(subrosa_pair_offer *raw) noexcept : handle(raw) {}
  secret link() const {
    secret out;
    detail::trial t;
    t(subrosa_pair_offer_link(raw(), out.out(), t.slot()));
    return out;
  }
  void wait(std::int32_t timeout_ms, cancel *token = nullptr) const {
    detail::trial t;
    t(subrosa_pair_offer_wait(raw(), timeout_ms, detail::raw_or_null(token), t.slot()));
  }
  void wait_async(std::int32_t timeout_ms, cancel *token, done function) const {
    detail::start_async(std::move(function), [&](void *user, subrosa_error **err) {
      return subrosa_pair_offer_wait_async(raw(), timeout_ms, detail::raw_or_null(token), detail::on_done, user, nullptr, err);
    });
  }
  pair_request request() const {
    subrosa_pair_code code = subrosa_pair_code();
    detail::buffer name;
    detail::trial t;
    t(subrosa_pair_offer_request(raw(), &code, name.out(), t.slot()));
    return pair_request{code.text, name.text()};
  }
  // With the code that the user read from the new device; an empty one is refused.
  void confirm(const std::string &typed) const {
    detail::trial t;
    t(subrosa_pair_offer_confirm(raw(), typed.data(), typed.size(), nullptr, t.slot()));
  }
  void confirm_async(const std::string &typed, done function) const {
    start_confirm(typed.data(), typed.size(), std::move(function));
  }
  // The user has seen both codes, and they are equal.
  void confirm_codes_are_equal() const {
    detail::trial t;
    t(subrosa_pair_offer_confirm(raw(), nullptr, 0, nullptr, t.slot()));
  }
  void confirm_codes_are_equal_async(done function) const { start_confirm(nullptr, 0, std::move(function)); }
  void decline() const {
    detail::trial t;
    t(subrosa_pair_offer_decline(raw(), t.slot()));
  }

 private:
  void start_confirm(const char *typed, std::size_t len, done function) const {
    detail::start_async(std::move(function), [&](void *user, subrosa_error **err) {
      return subrosa_pair_offer_confirm_async(raw(), typed, len, detail::on_done, user, nullptr, err);
    });
  }
};

struct device_options {
  std::string name;             // empty: "device"; a store keeps the name that it was made with
  std::uint64_t cache_bytes;    // 0: 16 MiB
  std::uint32_t write_wait_ms;  // for another thread's transaction, by a write outside of one; 0: no bound
  device_options() : cache_bytes(0), write_wait_ms(0) {}
  explicit device_options(std::string name_) : name(std::move(name_)), cache_bytes(0), write_wait_ms(0) {}
  // Borrows the name.
  subrosa_device_options raw() const {
    subrosa_device_options out = subrosa_device_options();
    out.struct_size = sizeof out;
    out.cache_bytes = cache_bytes;
    out.device_name = name.empty() ? nullptr : name.data();
    out.device_name_len = name.size();
    out.write_wait_ms = write_wait_ms;
    return out;
  }
};

class device : public detail::handle<subrosa_device, detail::close_device> {
 public:
  device() noexcept {}
  explicit device(subrosa_device *raw) noexcept : handle(raw) {}
  static device create(const std::string &dir, const key &mine, const device_options &options = device_options()) {
    check_abi();
    const subrosa_device_options raw_options = options.raw();
    detail::trial t;
    subrosa_device *out = nullptr;
    t(subrosa_device_create(dir.data(), dir.size(), mine.raw(), &raw_options, &out, t.slot()));
    return device(out);
  }
  static device open(const std::string &dir, const key &mine, const device_options &options = device_options()) {
    check_abi();
    const subrosa_device_options raw_options = options.raw();
    detail::trial t;
    subrosa_device *out = nullptr;
    t(subrosa_device_open(dir.data(), dir.size(), mine.raw(), &raw_options, &out, t.slot()));
    return device(out);
  }
  // Throws SUBROSA_WOULD_DEADLOCK in a callback of its own events or calls. The destructor does not: there it leaves the
  // closing to a thread, and returns before the file is free.
  void close() {
    detail::trial t;
    t(subrosa_device_close(raw(), t.slot()));
    release();
  }
  subrosa::public_key public_key() const {
    subrosa::public_key out;
    detail::trial t;
    t(subrosa_device_public_key(raw(), &out, t.slot()));
    return out;
  }
  std::string name() const {
    detail::buffer out;
    detail::trial t;
    t(subrosa_device_name(raw(), out.out(), t.slot()));
    return out.text();
  }
  void set_relay(const std::string &url) {
    detail::trial t;
    t(subrosa_device_set_relay(raw(), url.data(), url.size(), t.slot()));
  }
  // Empty if there is none; an invite in it is a secret.
  secret relay() const {
    secret out;
    detail::trial t;
    t(subrosa_device_relay(raw(), out.out(), t.slot()));
    return out;
  }
  void suspend(std::int32_t deadline_ms) {
    detail::trial t;
    t(subrosa_suspend(raw(), deadline_ms, t.slot()));
  }
  void resume() {
    detail::trial t;
    t(subrosa_resume(raw(), t.slot()));
  }
  void network_changed() {
    detail::trial t;
    t(subrosa_network_changed(raw(), t.slot()));
  }
  subrosa_verify_report verify() const {
    subrosa_verify_report out = subrosa_verify_report();
    out.struct_size = sizeof out;
    detail::trial t;
    t(subrosa_device_verify(raw(), &out, t.slot()));
    return out;
  }
  void compact() {
    detail::trial t;
    t(subrosa_device_compact(raw(), t.slot()));
  }
  subrosa_space_report space() const {
    subrosa_space_report out = subrosa_space_report();
    out.struct_size = sizeof out;
    detail::trial t;
    t(subrosa_device_space(raw(), &out, t.slot()));
    return out;
  }
  std::vector<std::pair<std::string, vault_id>> vaults() const {
    detail::trial t;
    subrosa_list *out = nullptr;
    t(subrosa_device_vaults(raw(), &out, t.slot()));
    const detail::list list(out);
    std::vector<std::pair<std::string, vault_id>> all;
    for (std::size_t i = 0, n = list.size(); i < n; i++) all.emplace_back(list.text(i), list.vault(i));
    return all;
  }
  subrosa::vault create_vault(const std::string &name) {
    detail::trial t;
    subrosa_vault *out = nullptr;
    t(subrosa_vault_create(raw(), name.data(), name.size(), &out, t.slot()));
    return subrosa::vault(out);
  }
  subrosa::vault vault(const std::string &name) const {
    detail::trial t;
    subrosa_vault *out = nullptr;
    t(subrosa_vault_open(raw(), name.data(), name.size(), &out, t.slot()));
    return subrosa::vault(out);
  }
  subrosa::vault vault(const vault_id &which) const {
    detail::trial t;
    subrosa_vault *out = nullptr;
    t(subrosa_vault_open_by_id(raw(), &which, &out, t.slot()));
    return subrosa::vault(out);
  }
  // Without a URL: the relay that set_relay() stored.
  subrosa::sync start_sync(const std::string &relay = std::string()) {
    detail::trial t;
    subrosa_sync *out = nullptr;
    t(subrosa_sync_start(raw(), relay.data(), relay.size(), &out, t.slot()));
    return subrosa::sync(out);
  }
  pair_offer offer_pairing(const std::string &relay = std::string()) {
    detail::trial t;
    subrosa_pair_offer *out = nullptr;
    t(subrosa_pair_offer_start(raw(), relay.data(), relay.size(), &out, t.slot()));
    return pair_offer(out);
  }
};

// The new device's side. Makes a store in `dir`.
class pair_join : public detail::handle<subrosa_pair_join, subrosa_pair_join_close> {
 public:
  pair_join() noexcept {}
  // The link as the user scanned or typed it.
  pair_join(const std::string &dir, const key &mine, const std::string &link, const device_options &options = device_options()) {
    start(dir, mine, link.data(), link.size(), options);
  }
  pair_join(const std::string &dir, const key &mine, const secret &link, const device_options &options = device_options()) {
    start(dir, mine, reinterpret_cast<const char *>(link.data()), link.size(), options);
  }
  std::string wait_code(std::int32_t timeout_ms, cancel *token = nullptr) const {
    subrosa_pair_code out = subrosa_pair_code();
    detail::trial t;
    t(subrosa_pair_join_wait_code(raw(), timeout_ms, detail::raw_or_null(token), &out, t.slot()));
    return out.text;
  }
  void wait_code_async(std::int32_t timeout_ms, cancel *token, done function) const {
    detail::start_async(std::move(function), [&](void *user, subrosa_error **err) {
      return subrosa_pair_join_wait_code_async(raw(), timeout_ms, detail::raw_or_null(token), detail::on_done, user, nullptr, err);
    });
  }
  subrosa::device wait_device(std::int32_t timeout_ms, cancel *token = nullptr) const {
    detail::trial t;
    subrosa_device *out = nullptr;
    t(subrosa_pair_join_wait_device(raw(), timeout_ms, detail::raw_or_null(token), &out, t.slot()));
    return subrosa::device(out);
  }
  void wait_device_async(std::int32_t timeout_ms, cancel *token, done function) const {
    detail::start_async(std::move(function), [&](void *user, subrosa_error **err) {
      return subrosa_pair_join_wait_device_async(raw(), timeout_ms, detail::raw_or_null(token), detail::on_done, user, nullptr, err);
    });
  }
  std::string code() const {
    subrosa_pair_code out = subrosa_pair_code();
    detail::trial t;
    t(subrosa_pair_join_code(raw(), &out, t.slot()));
    return out.text;
  }
  subrosa::device device() const {
    detail::trial t;
    subrosa_device *out = nullptr;
    t(subrosa_pair_join_device(raw(), &out, t.slot()));
    return subrosa::device(out);
  }

 private:
  void start(const std::string &dir, const key &mine, const char *link, std::size_t len, const device_options &options) {
    check_abi();
    const subrosa_device_options raw_options = options.raw();
    detail::trial t;
    subrosa_pair_join *out = nullptr;
    t(subrosa_pair_join_start(dir.data(), dir.size(), mine.raw(), &raw_options, link, len, &out, t.slot()));
    reset(out);
  }
};

}  // namespace subrosa

#endif
