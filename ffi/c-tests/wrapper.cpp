// What subrosa.hpp adds to the C ABI: exceptions, moves, the transaction's guard, callbacks as std::function.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <subrosa.hpp>
#include <thread>
#include <type_traits>

namespace {

int failures = 0;

#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) {                                                        \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
      failures++;                                                              \
    }                                                                          \
  } while (0)

#define THROWS(expected, expression)                                           \
  do {                                                                         \
    std::int32_t code = SUBROSA_OK;                                            \
    try {                                                                      \
      (void)(expression);                                                      \
    } catch (const subrosa::error &failed) {                                   \
      code = failed.code();                                                    \
      CHECK(std::string(failed.what()).compare(0, std::string(failed.name()).size(), failed.name()) == 0); \
    }                                                                          \
    if (code != (expected)) {                                                  \
      std::fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #expression, subrosa_status_name(code)); \
      failures++;                                                              \
    }                                                                          \
  } while (0)

static_assert(!std::is_copy_constructible<subrosa::device>::value, "a device has one owner");
static_assert(std::is_nothrow_move_constructible<subrosa::record>::value, "handles move");
static_assert(std::is_copy_constructible<subrosa::error>::value, "errors can be caught by value");
static_assert(!std::is_copy_constructible<subrosa::secret>::value, "a secret has one owner");

struct fixture {
  std::string dir;
  subrosa::key key;
  subrosa::device device;
  subrosa::vault vault;
  subrosa::collection notes;

  explicit fixture(const std::string &folder)
      : dir(folder),
        key(subrosa::key::generate()),
        device(subrosa::device::create(dir, key, subrosa::device_options("laptop"))),
        vault(device.create_vault("personal")),
        notes(vault.collection("notes")) {}
};

void errors(fixture &f) {
  THROWS(SUBROSA_NOT_JSON, f.notes.insert("{"));
  THROWS(SUBROSA_NO_VAULT, f.device.vault("none"));
  THROWS(SUBROSA_STORE_EXISTS, subrosa::device::create(f.dir, f.key));
  THROWS(SUBROSA_NOT_AN_ID, subrosa::id::parse("none"));
  try {
    f.notes.insert("{\"a\":}");
  } catch (const subrosa::error &failed) {
    CHECK(failed.number() == 5);
    CHECK(!failed.retryable());
    CHECK(std::string(failed.name()) == "NOT_JSON");
  }
  THROWS(SUBROSA_INVALID_ARGUMENT, subrosa::key().public_key());
}

void moves(fixture &f) {
  subrosa::record one = subrosa::record::from_json("{\"a\":1}");
  subrosa::record two = std::move(one);
  CHECK(!one && two && two.get_i64("a") == 1);
  one = std::move(two);
  CHECK(one && !two);
  THROWS(SUBROSA_INVALID_ARGUMENT, two.size());
  subrosa::secret first = f.key.to_pkcs8(), second;
  second = std::move(first);
  CHECK(second.size() == 138);
  const subrosa::key again = subrosa::key::from_pkcs8(second.data(), second.size());
  CHECK(std::memcmp(again.public_key().bytes, f.key.public_key().bytes, 65) == 0);
}

void records(fixture &f) {
  subrosa::record note = subrosa::record::make();
  note.set_text("t", "x").set_bool("b", true).set_i64("i", -5).set_f64("f", 0.5).set_null("n").set_bytes("d", {1, 2}).set_json("l", "[1]");
  CHECK(note.size() == 7 && note.fields()[0].first == "b" && note.fields()[0].second == SUBROSA_KIND_BOOL);
  CHECK(note.get_text("t") == "x" && note.get_bool("b") && note.get_i64("i") == -5 && note.get_f64("f") == 0.5);
  CHECK(note.get_bytes("d") == subrosa::bytes({1, 2}) && note.get_json("l") == "[1]" && note.kind("none") == SUBROSA_KIND_ABSENT);
  CHECK(note.remove("t") && !note.remove("t"));
  const subrosa::id id = f.notes.insert(note);
  CHECK(subrosa::id::parse(id.text()) == id);
  CHECK(f.notes.get(id).to_json() == note.to_json());
  CHECK(!f.notes.get(subrosa::id::from_name("none")));
  CHECK(!f.notes.get_json(subrosa::id::from_name("none")));
  CHECK(f.notes.get_json(id).value() == note.to_json());
  const auto ids = f.notes.write(subrosa::batch().insert("{\"n\":1}").put(id, "{\"t\":\"y\"}"));
  CHECK(ids.size() == 2 && ids[1] == id);
  CHECK(f.notes.get_many({ids[0], subrosa::id()})[1].json.has_value() == false);
  bool more = false;
  CHECK(f.notes.page(nullptr, 1, &more).size() == 1 && more);
  CHECK(f.notes.field_names(id, 2) == std::vector<std::string>({"b", "d"}));
  const std::string after = "l";
  CHECK(f.notes.field_names(id, 9, &after) == std::vector<std::string>({"n", "t"}));
  CHECK(f.notes.field_names(subrosa::id::from_name("none"), 9).empty());
  CHECK(f.notes.get_field(id, "d").get_bytes("d") == subrosa::bytes({1, 2}) && !f.notes.get_field(id, "none"));
  CHECK(f.notes.get_field_json(id, "f").value() == "0.5" && !f.notes.get_field_json(id, "none"));
  CHECK(f.notes.remove_field(id, "d") && !f.notes.remove_field(id, "d") && !f.notes.get_field(id, "d"));
  CHECK(f.notes.remove(ids[0]) && f.notes.remove(id));
}

// Larger than is read whole, and with more fields than a write may add.
// Written at once and without JSON, and read back as a record: Valgrind takes 20 seconds for each write of 16 MiB, and is slow at our
// own code that looks at each byte. On a device of its own, as sending it would take longer there than a sync waits for progress.
void large_records(const std::string &dir) {
  fixture f(dir);
  const subrosa::id id = subrosa::id::from_name("large"), many = subrosa::id::from_name("many");
  const std::string text((1 << 20) - 64, 'x'), value = '"' + text + '"';
  subrosa::record most = subrosa::record::make();
  for (int n = 0; n < 17; n++) most.set_text("f" + std::to_string(10 + n), text);
  f.notes.put(id, most);
  THROWS(SUBROSA_RECORD_TOO_LARGE, f.notes.get_json(id));
  const std::vector<subrosa::row> rows = f.notes.get_many({id, many});
  CHECK(rows[0].too_large && !rows[0].json.has_value() && rows[0].id == id && !rows[1].too_large);
  CHECK(f.notes.page(nullptr, 9)[0].too_large && f.notes.field_names(id, 99).size() == 17);
  CHECK(f.notes.get_field_json(id, "f26").value() == value);
  CHECK(f.notes.remove_field(id, "f26") && f.notes.get(id).size() == 16);
  std::string json = "{";
  for (int n = 0; n < 1025; n++) json += (n == 0 ? "\"" : ",\"") + std::to_string(n) + "\":0";
  json += "}";
  THROWS(SUBROSA_TOO_MANY_FIELDS, f.notes.put(many, json));
  f.notes.write(subrosa::batch().import(many, json));
  CHECK(f.notes.get(many).size() == 1025);
  f.notes.put(many, "{\"0\":1}");
  CHECK(f.notes.remove(id) && f.notes.remove(many));
}

void transactions(fixture &f) {
  const subrosa::id id = subrosa::id::from_name("one");
  try {
    f.vault.write([&](subrosa::transaction &tx) {
      f.notes.put(id, "{\"n\":1}", &tx);
      throw std::runtime_error("changed my mind");
    });
    CHECK(false);
  } catch (const std::runtime_error &) {
  }
  CHECK(!f.notes.get_json(id));
  { subrosa::transaction forgotten = f.vault.begin(SUBROSA_TX_WRITE, 0); }
  f.vault.write([&](subrosa::transaction &tx) {
    f.notes.put(id, "{\"n\":1}", &tx);
    THROWS(SUBROSA_BUSY, f.vault.begin(SUBROSA_TX_WRITE, 0));
  }, 0);
  f.vault.read([&](subrosa::transaction &tx) {
    CHECK(f.notes.count(&tx) == 1);
    THROWS(SUBROSA_READ_ONLY, f.notes.insert("{}", &tx));
  });
  f.notes.remove(id);
  // One that is over is not the same as none.
  subrosa::transaction over = f.vault.begin(SUBROSA_TX_WRITE, 0);
  over.abort();
  THROWS(SUBROSA_INVALID_HANDLE, (f.notes.put(id, "{}", &over), 0));
  THROWS(SUBROSA_INVALID_ARGUMENT, (over.commit(), 0));
  subrosa::transaction here = f.vault.begin(SUBROSA_TX_WRITE, 0), there = std::move(here);
  THROWS(SUBROSA_INVALID_HANDLE, f.notes.get_json(id, &here));
  f.notes.put(id, "{}", &there);
  there.commit();
  CHECK(!there && f.notes.remove(id));
  subrosa::cancel token, elsewhere = std::move(token);
  subrosa::events queue;
  THROWS(SUBROSA_INVALID_HANDLE, queue.wait(-1, &token));
}

void callbacks(fixture &f) {
  std::promise<subrosa::id> seen;
  const auto kept = std::make_shared<int>(1);
  subrosa::events queue;
  queue.add(f.vault, 3);
  queue.listen([&, kept](const subrosa::event &event) {
    if (event.tag == 3 && event.text == "notes") seen.set_value(event.record);
  });
  const subrosa::id id = f.notes.insert("{}");
  CHECK(seen.get_future().get() == id);
  THROWS(SUBROSA_BUSY, queue.wait(0));
  queue.unlisten();
  CHECK(kept.use_count() == 1);
  CHECK(!queue.wait(0));
  THROWS(SUBROSA_INVALID_ARGUMENT, (queue.listen(nullptr), 0));

  std::promise<std::int32_t> done;
  subrosa::cancel cancel;
  subrosa::sync sync = f.device.start_sync(std::getenv("SUBROSA_TEST_RELAY"));
  sync.wait(30000);
  CHECK(f.vault.pending() == 0 && f.vault.delivery(std::getenv("SUBROSA_TEST_RELAY")).held > 0);
  subrosa::pair_offer offer = f.device.offer_pairing(std::getenv("SUBROSA_TEST_RELAY"));
  offer.wait_async(-1, &cancel, [&](const subrosa::error *failed) { done.set_value(failed == nullptr ? 0 : failed->code()); });
  THROWS(SUBROSA_NOT_READY, (offer.confirm(""), 0));
  cancel.fire();
  CHECK(done.get_future().get() == SUBROSA_CANCELLED);
  THROWS(SUBROSA_INVALID_ARGUMENT, (sync.wait_async(0, nullptr, nullptr), 0));
  CHECK(sync.status().struct_size == sizeof(subrosa_sync_status) && !sync.reason().empty());
  sync.stop();
  CHECK(!sync);
}

// A store that was copied, and went on twice: told by whoever asks later, too.
void forks(const std::string &dir) {
  const std::string copied = dir + "-copied", relay = std::getenv("SUBROSA_TEST_RELAY");
  const subrosa::key key = subrosa::key::generate();
  const auto write_and_sync = [&](const std::string &where) {
    subrosa::device device = subrosa::device::open(where, key);
    device.vault("personal").collection("notes").insert("{}");
    subrosa::sync sync = device.start_sync(relay);
    const subrosa::moment now = sync.moment();
    now.wait(30000);
    now.wait(30000);  // it was: at once
    CHECK(sync.vaults().empty() && sync.status().clock_ahead_ms == 0 && sync.status().held_until_ms == 0);
    sync.stop();
    THROWS(SUBROSA_SYNC_STOPPED, (now.wait(0), 0));
    device.close();
  };
  {
    subrosa::device device = subrosa::device::create(dir, key, subrosa::device_options("laptop"));
    const subrosa::vault vault = device.create_vault("personal");
    CHECK(vault.forks().empty() && vault.held().devices.empty() && !vault.held().clock_is_late && !vault.is_update_needed());
    device.close();
  }
  write_and_sync(dir);
  CHECK(std::system(("cp -r '" + dir + "' '" + copied + "'").c_str()) == 0);
  write_and_sync(dir);
  write_and_sync(copied);
  subrosa::device device = subrosa::device::open(copied, key);
  const std::vector<subrosa::forks_of_device> all = device.vault("personal").forks();
  CHECK(all.size() == 1 && all[0].is_this && all[0].name == "laptop" && all[0].logs == 1 && all[0].futures == 1);
  CHECK(all.size() == 1 && std::memcmp(all[0].public_key.bytes, key.public_key().bytes, sizeof all[0].public_key.bytes) == 0);
  CHECK(device.vault("personal").collection("notes").count() == 3);
}

// The last owner of a queue, and of a device, may be the function that they call.
void ends_in_callbacks(fixture &f) {
  std::promise<void> called;
  auto queue = std::make_shared<subrosa::events>();
  queue->add(f.vault);
  const auto last = std::make_shared<std::shared_ptr<subrosa::events>>(queue);
  queue.reset();
  (*last)->listen([last, &called](const subrosa::event &) {
    last->reset();
    called.set_value();  // throws, and so ends the process, if it is called again
  });
  f.notes.insert("{}");
  called.get_future().get();
  f.notes.insert("{}");
  const std::string dir = f.dir + "-owned";
  std::promise<void> done;
  {
    auto device = std::make_shared<subrosa::device>(subrosa::device::create(dir, f.key));
    const subrosa::sync sync = device->start_sync(std::getenv("SUBROSA_TEST_RELAY"));
    sync.wait_async(-1, nullptr, [device, &done](const subrosa::error *) mutable {
      device.reset();
      done.set_value();
    });
    device.reset();
    done.get_future().get();
  }
  // A thread of the wrapper's closes it, and says nothing when it is done. Under valgrind, one that spins would keep it waiting.
  for (bool closed = false; !closed; std::this_thread::sleep_for(std::chrono::milliseconds(1))) {
    try {
      subrosa::device::open(dir, f.key);
      closed = true;
    } catch (const subrosa::error &failed) {
      if (failed.code() != SUBROSA_STORE_LOCKED) throw;
    }
  }
}

void logs(fixture &f) {
  const auto lines = std::make_shared<std::atomic<int>>(0);
  subrosa::events pulled;
  THROWS(SUBROSA_INVALID_ARGUMENT, pulled.add_log(SUBROSA_LOG_OFF));
  pulled.add_log(SUBROSA_LOG_WARN, 3);
  subrosa::set_log(SUBROSA_LOG_WARN, [lines](std::int32_t, const char *) { (*lines)++; });
  subrosa::device device = subrosa::device::create(f.dir + "-logs", f.key);
  const subrosa::transaction open = device.create_vault("personal").begin(SUBROSA_TX_READ);
  device.close();
  CHECK(*lines > 0);
  subrosa::set_log(0, nullptr);
  CHECK(lines.use_count() == 1);
  const auto said = pulled.wait(0);
  CHECK(said && said->kind == SUBROSA_EVENT_LOG && said->tag == 3 && said->detail == SUBROSA_LOG_WARN && !said->text.empty());
}

void providers() {
  const subrosa::key real = subrosa::key::generate();
  subrosa::key_provider provider;
  provider.public_key = real.public_key();
  THROWS(SUBROSA_INVALID_ARGUMENT, subrosa::key::from_provider(provider));
  provider.agree = [](const subrosa::public_key &, std::uint8_t *) { return 7; };
  provider.sign = [&](const std::uint8_t *message, std::size_t len, std::uint8_t *signature) {
    const subrosa::bytes made = real.sign({}, subrosa::bytes(message, message + len));
    std::memcpy(signature, made.data(), made.size());
    return 0;
  };
  const subrosa::key hosted = subrosa::key::from_provider(provider);
  const subrosa::bytes label = {1}, message = {2, 3}, signature = hosted.sign(label, message);
  subrosa::verify(real.public_key(), label, message, signature);
  THROWS(SUBROSA_BAD_SIGNATURE, (subrosa::verify(real.public_key(), label, label, signature), 0));
  THROWS(SUBROSA_KEY_NOT_EXPORTABLE, hosted.to_pkcs8());
  const auto open_session = [&] { return subrosa::session(hosted, SUBROSA_PROFILE_SUBROSA_1, {}).raw() != nullptr; };
  THROWS(SUBROSA_KEY_PROVIDER, open_session());
  CHECK(subrosa::public_key_from_spki(subrosa::public_key_to_spki(provider.public_key)).bytes[64] == provider.public_key.bytes[64]);
}

void devices(fixture &f) {
  CHECK(f.device.name() == "laptop" && f.vault.name() == "personal");
  CHECK(f.device.vaults().size() == 1 && f.vault.devices()[0].is_this && f.vault.collections().size() == 1);
  CHECK(f.device.vault(f.device.vaults()[0].second).name() == "personal");
  CHECK(f.device.verify().bad_segments == 0 && f.device.space().file_bytes > 0);
  f.device.set_relay(std::getenv("SUBROSA_TEST_RELAY"));
  CHECK(f.device.relay().text() == std::getenv("SUBROSA_TEST_RELAY"));
  f.device.set_relay("");
  CHECK(f.device.relay().size() == 0);
  f.device.compact();
  f.device.suspend(5000);
  THROWS(SUBROSA_SUSPENDED, f.notes.count());
  f.device.resume();
  f.device.close();
  CHECK(!f.device);
  THROWS(SUBROSA_CLOSED, f.notes.count());
  subrosa::device_options impatient("not looked at");
  impatient.write_wait_ms = 1;
  f.device = subrosa::device::open(f.dir, f.key, impatient);
  CHECK(f.device.name() == "laptop");
  const subrosa::vault vault = f.device.vault("personal");
  subrosa::collection notes = vault.collection("notes");
  const subrosa::transaction open = vault.begin(SUBROSA_TX_WRITE, 0);
  std::thread([&] { THROWS(SUBROSA_BUSY, notes.insert("{}")); }).join();
  try {
    notes.insert("{}");
    CHECK(false);
  } catch (const subrosa::error &failed) {
    CHECK(failed.code() == SUBROSA_BUSY && !failed.retryable());  // this thread would wait for itself
  }
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 2 || std::getenv("SUBROSA_TEST_RELAY") == nullptr) {
    std::fprintf(stderr, "usage: with-relay wrapper FOLDER\n");
    return 2;
  }
  fixture f(std::string(argv[1]) + "/store");
  errors(f);
  moves(f);
  records(f);
  large_records(f.dir + "-large");
  transactions(f);
  callbacks(f);
  forks(f.dir + "-forked");
  ends_in_callbacks(f);
  logs(f);
  providers();
  devices(f);
  return failures == 0 ? 0 : 1;
}
