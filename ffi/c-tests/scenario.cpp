// Runs the scenarios of ffi/scenario through subrosa.hpp: scenario-cpp SCENARIOS WORK. Its README says what each step means.
#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <subrosa.hpp>

using nlohmann::json;
using std::string;

namespace {

const std::int32_t kPatienceMs = 30000;

struct open_device {
  subrosa::device handle;
  string key, dir;
};

// The variables of one file. The members are closed from the last to the first.
struct world {
  string work;
  std::map<string, subrosa::key> keys;
  std::map<string, open_device> devices;
  std::map<std::pair<string, string>, subrosa::vault> vaults;
  std::map<string, subrosa::transaction> transactions;
  std::map<string, subrosa::events> queues;
  std::map<string, subrosa::session> sessions;
  std::map<string, subrosa::sync> syncs;
  std::map<string, subrosa::id> ids;
  std::map<subrosa::id, string> aliases;
  std::map<string, subrosa::bytes> messages;
};

subrosa::bytes to_bytes(const string &text) { return subrosa::bytes(text.begin(), text.end()); }

subrosa::bytes from_hex(const string &hex) {
  subrosa::bytes out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) out.push_back(static_cast<std::uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

string to_hex(const subrosa::bytes &data) {
  string out;
  for (std::size_t i = 0; i < data.size(); i++) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", data[i]);
    out += digits;
  }
  return out;
}

string join(const std::vector<string> &parts, const char *separator = ",") {
  string out;
  for (std::size_t i = 0; i < parts.size(); i++) out += (i == 0 ? "" : separator) + parts[i];
  return out;
}

string text(const json &step, const char *field) { return step.value(field, string()); }

void name_id(world &w, const string &alias, const subrosa::id &id) {
  w.ids[alias] = id;
  w.aliases[id] = alias;
}

subrosa::id find_id(world &w, const string &alias) {
  if (alias.compare(0, 5, "name:") == 0) name_id(w, alias, subrosa::id::from_name(alias.substr(5)));
  return w.ids.at(alias);
}

string alias_of(const world &w, const subrosa::id &id) {
  const auto found = w.aliases.find(id);
  return found == w.aliases.end() ? id.text() : found->second;
}

open_device &find_device(world &w, const json &step) { return w.devices.at(text(step, "device")); }

subrosa::vault &find_vault(world &w, const json &step) {
  const std::pair<string, string> name(text(step, "device"), text(step, "vault"));
  if (w.vaults.find(name) == w.vaults.end()) w.vaults[name] = find_device(w, step).handle.vault(name.second);
  return w.vaults[name];
}

subrosa::collection find_collection(world &w, const json &step) {
  return find_vault(w, step).collection(text(step, "collection"));
}

subrosa::transaction *find_transaction(world &w, const json &step) {
  return step.contains("tx") ? &w.transactions.at(text(step, "tx")) : nullptr;
}

void forget(world &w, const string &device) {
  w.syncs.erase(device);
  for (auto it = w.vaults.begin(); it != w.vaults.end();) it = it->first.first == device ? w.vaults.erase(it) : std::next(it);
}

string path(const world &w, const string &dir) { return w.work + "/" + dir; }

typedef string (*action)(world &, const json &);

// ---- keys and sessions ----

string do_key(world &w, const json &step) {
  w.keys[text(step, "key")] = subrosa::key::generate();
  return "ok";
}

string do_import_key(world &w, const json &step) {
  w.keys[text(step, "key")] = subrosa::key::from_pkcs8(from_hex(text(step, "pkcs8")));
  return "ok";
}

string do_session(world &w, const json &step) {
  const std::int32_t profile =
      text(step, "profile") == "subrosa/1" ? SUBROSA_PROFILE_SUBROSA_1 : SUBROSA_PROFILE_SUPABASE_E2EE_V1;
  const subrosa::key &mine = w.keys.at(text(step, "key"));
  const subrosa::bytes context = to_bytes(text(step, "context"));
  w.sessions[text(step, "session")] =
      step.contains("peer") ? subrosa::session(mine, w.keys.at(text(step, "peer")).public_key(), profile, context)
                            : subrosa::session(mine, profile, context);
  return "ok";
}

string do_seal(world &w, const json &step) {
  const subrosa::bytes sealed = w.sessions.at(text(step, "session")).seal(to_bytes(text(step, "aad")), text(step, "text"));
  w.messages[text(step, "as")] = sealed;
  return std::to_string(sealed.size());
}

string do_unseal(world &w, const json &step) {
  const subrosa::bytes sealed = step.contains("hex") ? from_hex(text(step, "hex")) : w.messages.at(text(step, "message"));
  return w.sessions.at(text(step, "session")).open(to_bytes(text(step, "aad")), sealed).text();
}

// ---- devices and vaults ----

string do_create(world &w, const json &step) {
  const string key = text(step, "key"), dir = text(step, "dir");
  const subrosa::device_options options(text(step, "name"));
  w.devices[text(step, "device")] = open_device{subrosa::device::create(path(w, dir), w.keys.at(key), options), key, dir};
  return "ok";
}

string do_open(world &w, const json &step) {
  const string key = text(step, "key"), dir = text(step, "dir");
  w.devices[text(step, "device")] = open_device{subrosa::device::open(path(w, dir), w.keys.at(key)), key, dir};
  return "ok";
}

string do_close(world &w, const json &step) {
  find_device(w, step).handle.close();
  forget(w, text(step, "device"));
  w.devices.erase(text(step, "device"));
  return "ok";
}

string do_copy(world &w, const json &step) {
  const string command = "cp -r '" + path(w, text(step, "dir")) + "' '" + path(w, text(step, "to")) + "'";
  return std::system(command.c_str()) == 0 ? "ok" : "not copied";
}

string do_restart(world &w, const json &step) {
  open_device &device = find_device(w, step);
  device.handle.close();
  forget(w, text(step, "device"));
  device.handle = subrosa::device::open(path(w, device.dir), w.keys.at(device.key));
  return "ok";
}

string do_suspend(world &w, const json &step) {
  find_device(w, step).handle.suspend(5000);
  return "ok";
}

string do_resume(world &w, const json &step) {
  find_device(w, step).handle.resume();
  return "ok";
}

string do_network_changed(world &w, const json &step) {
  find_device(w, step).handle.network_changed();
  return "ok";
}

string do_verify(world &w, const json &step) {
  const subrosa_verify_report report = find_device(w, step).handle.verify();
  return report.bad_segments == 0 ? "good" : "bad";
}

string do_create_vault(world &w, const json &step) {
  subrosa::vault made = find_device(w, step).handle.create_vault(text(step, "vault"));
  w.vaults[std::make_pair(text(step, "device"), text(step, "vault"))] = std::move(made);
  return "ok";
}

string do_open_vault(world &w, const json &step) {
  subrosa::vault opened = find_device(w, step).handle.vault(text(step, "vault"));
  w.vaults[std::make_pair(text(step, "device"), text(step, "vault"))] = std::move(opened);
  return "ok";
}

string do_vaults(world &w, const json &step) {
  std::vector<string> names;
  for (const auto &vault : find_device(w, step).handle.vaults()) names.push_back(vault.first);
  return join(names);
}

string do_devices(world &w, const json &step) {
  static const char *const roles[] = {"?", "admin", "writer", "reader"};
  std::vector<string> all;
  for (const auto &member : find_vault(w, step).devices()) {
    const char *role = member.role >= SUBROSA_ROLE_ADMIN && member.role <= SUBROSA_ROLE_READER ? roles[member.role] : roles[0];
    all.push_back(member.name + ":" + role + (member.is_this ? ":this" : ""));
  }
  return join(all);
}

string do_forks(world &w, const json &step) {
  std::vector<string> all;
  for (const auto &of : find_vault(w, step).forks()) {
    all.push_back(of.name + ":" + std::to_string(of.logs) + ":" + std::to_string(of.futures) + (of.is_this ? ":this" : ""));
  }
  return join(all);
}

string do_held(world &w, const json &step) {
  const subrosa::held_groups held = find_vault(w, step).held();
  std::vector<string> all;
  for (const auto &of : held.devices) all.push_back(of.name + ":" + std::to_string(of.groups));
  if (held.clock_is_late) all.push_back("late");
  return join(all);
}

string do_collections(world &w, const json &step) { return join(find_vault(w, step).collections()); }

// ---- records ----

string do_insert(world &w, const json &step) {
  name_id(w, text(step, "as"), find_collection(w, step).insert(text(step, "json"), find_transaction(w, step)));
  return "ok";
}

string do_put(world &w, const json &step) {
  find_collection(w, step).put(find_id(w, text(step, "id")), text(step, "json"), find_transaction(w, step));
  return "ok";
}

string do_replace(world &w, const json &step) {
  find_collection(w, step).replace(find_id(w, text(step, "id")), text(step, "json"), find_transaction(w, step));
  return "ok";
}

string do_get(world &w, const json &step) {
  return find_collection(w, step).get_json(find_id(w, text(step, "id")), find_transaction(w, step)).value_or("absent");
}

string do_await(world &w, const json &step) {
  subrosa::collection from = find_collection(w, step);
  subrosa::events changes;
  changes.add(from);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  for (;;) {
    const string now = do_get(w, step);
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (now == text(step, "expect") || left <= 0) return now;
    changes.wait(static_cast<std::int32_t>(left));
  }
}

string do_set(world &w, const json &step) {
  subrosa::record made = subrosa::record::make();
  for (const auto &field : step.at("fields").items()) {
    const string kind = field.value().at(0), value = field.value().at(1);
    if (kind == "null") made.set_null(field.key());
    else if (kind == "bool") made.set_bool(field.key(), value == "true");
    else if (kind == "i64") made.set_i64(field.key(), std::stoll(value));
    else if (kind == "f64") made.set_f64(field.key(), std::stod(value));
    else if (kind == "text") made.set_text(field.key(), value);
    else if (kind == "bytes") made.set_bytes(field.key(), from_hex(value));
    else if (kind == "json") made.set_json(field.key(), value);
    else throw std::runtime_error("no such kind: " + kind);
  }
  find_collection(w, step).put(find_id(w, text(step, "id")), made, find_transaction(w, step));
  return "ok";
}

string do_field(world &w, const json &step) {
  const subrosa::record found = find_collection(w, step).get(find_id(w, text(step, "id")), find_transaction(w, step));
  const string field = text(step, "field");
  switch (found ? found.kind(field) : SUBROSA_KIND_ABSENT) {
    case SUBROSA_KIND_ABSENT: return "absent";
    case SUBROSA_KIND_NULL: return "null";
    case SUBROSA_KIND_BOOL: return found.get_bool(field) ? "bool:true" : "bool:false";
    case SUBROSA_KIND_I64: return "i64:" + std::to_string(found.get_i64(field));
    case SUBROSA_KIND_F64: return "f64:" + found.get_json(field);
    case SUBROSA_KIND_TEXT: return "text:" + found.get_text(field);
    case SUBROSA_KIND_BYTES: return "bytes:" + to_hex(found.get_bytes(field));
    case SUBROSA_KIND_LIST: return "list";
    case SUBROSA_KIND_MAP: return "map";
    default: return "?";
  }
}

string do_delete(world &w, const json &step) {
  return find_collection(w, step).remove(find_id(w, text(step, "id")), find_transaction(w, step)) ? "existed" : "absent";
}

string do_names(world &w, const json &step) {
  const subrosa::collection from = find_collection(w, step);
  const subrosa::id id = find_id(w, text(step, "id"));
  const std::size_t limit = step.at("limit").get<std::size_t>();
  if (!from.get(id, find_transaction(w, step))) return "absent";
  std::vector<string> all, page;
  do {
    const string after = all.empty() ? string() : all.back();
    page = from.field_names(id, limit, all.empty() ? nullptr : &after, find_transaction(w, step));
    all.insert(all.end(), page.begin(), page.end());
  } while (page.size() == limit);
  return join(all);
}

string do_get_field(world &w, const json &step) {
  const subrosa::id id = find_id(w, text(step, "id"));
  return find_collection(w, step).get_field_json(id, text(step, "field"), find_transaction(w, step)).value_or("absent");
}

string do_delete_field(world &w, const json &step) {
  const subrosa::id id = find_id(w, text(step, "id"));
  return find_collection(w, step).remove_field(id, text(step, "field"), find_transaction(w, step)) ? "existed" : "absent";
}

string do_count(world &w, const json &step) {
  return std::to_string(find_collection(w, step).count(find_transaction(w, step)));
}

string do_scan(world &w, const json &step) {
  const subrosa::collection from = find_collection(w, step);
  std::vector<string> all;
  subrosa::id last;
  bool more = true;
  for (bool first = true; more; first = false) {
    const auto page = from.page(first ? nullptr : &last, step.at("limit").get<std::size_t>(), &more, find_transaction(w, step));
    for (const subrosa::row &row : page) all.push_back(alias_of(w, last = row.id));
  }
  return join(all);
}

string do_get_many(world &w, const json &step) {
  std::vector<subrosa::id> ids;
  for (const string alias : step.at("ids")) ids.push_back(find_id(w, alias));
  std::vector<string> all;
  for (const subrosa::row &row : find_collection(w, step).get_many(ids, find_transaction(w, step))) {
    all.push_back(row.json.value_or("absent"));
  }
  return join(all, "|");
}

string do_write_many(world &w, const json &step) {
  subrosa::batch batch;
  for (const json &row : step.at("rows")) {
    const string op = text(row, "op");
    if (op == "insert") batch.insert(text(row, "json"));
    else if (op == "put") batch.put(find_id(w, text(row, "id")), text(row, "json"));
    else if (op == "replace") batch.replace(find_id(w, text(row, "id")), text(row, "json"));
    else if (op == "import") batch.import(find_id(w, text(row, "id")), text(row, "json"));
    else if (op == "delete") batch.remove(find_id(w, text(row, "id")));
    else throw std::runtime_error("no such op: " + op);
  }
  const std::vector<subrosa::id> ids = find_collection(w, step).write(batch, find_transaction(w, step));
  for (std::size_t i = 0; i < ids.size(); i++) {
    const json &row = step.at("rows").at(i);
    if (row.contains("as")) name_id(w, text(row, "as"), ids[i]);
  }
  return "ok";
}

// ---- transactions and events ----

string do_begin(world &w, const json &step) {
  const std::int32_t mode = text(step, "mode") == "read" ? SUBROSA_TX_READ : SUBROSA_TX_WRITE;
  w.transactions[text(step, "tx")] = find_vault(w, step).begin(mode, 0);
  return "ok";
}

string do_commit(world &w, const json &step) {
  w.transactions.at(text(step, "tx")).commit();
  return "ok";
}

string do_abort(world &w, const json &step) {
  w.transactions.at(text(step, "tx")).abort();
  return "ok";
}

string do_watch(world &w, const json &step) {
  subrosa::events &queue = w.queues[text(step, "events")];
  if (step.contains("collection")) queue.add(find_collection(w, step));
  else queue.add(find_vault(w, step));
  return "ok";
}

string do_events(world &w, const json &step) {
  static const char *const changes[] = {"?", "inserted", "updated", "removed"};
  subrosa::events &queue = w.queues.at(text(step, "events"));
  const string expected = text(step, "expect");
  std::size_t awaited = expected.empty() ? 0 : static_cast<std::size_t>(std::count(expected.begin(), expected.end(), ',')) + 1;
  std::vector<string> all;
  for (;;) {
    const auto event = queue.wait(all.size() < awaited ? 10000 : 0);
    if (!event) return join(all);
    const bool known = event->kind == SUBROSA_EVENT_RECORD && event->detail >= 1 && event->detail <= SUBROSA_CHANGE_REMOVED;
    all.push_back(known ? string(changes[event->detail]) + " " + alias_of(w, event->record) : "kind " + std::to_string(event->kind));
  }
}

// ---- sync and pairing ----

string relay() {
  const char *url = std::getenv("SUBROSA_TEST_RELAY");
  return url == nullptr ? string() : string(url);
}

string do_sync(world &w, const json &step) {
  w.syncs[text(step, "device")] = find_device(w, step).handle.start_sync(relay());
  return "ok";
}

string do_wait_synced(world &w, const json &step) {
  w.syncs.at(text(step, "device")).wait(kPatienceMs);
  return "ok";
}

string do_stop_sync(world &w, const json &step) {
  w.syncs.at(text(step, "device")).stop();
  w.syncs.erase(text(step, "device"));
  return "ok";
}

// Outlived by its function, if nobody waits for it.
class completion {
 public:
  completion() : promise_(std::make_shared<std::promise<void>>()), future_(promise_->get_future()) {}
  subrosa::done function() const {
    const std::shared_ptr<std::promise<void>> promise = promise_;
    return [promise](const subrosa::error *failed) {
      if (failed == nullptr) promise->set_value();
      else promise->set_exception(std::make_exception_ptr(*failed));
    };
  }
  void get() { future_.get(); }

 private:
  std::shared_ptr<std::promise<void>> promise_;
  std::future<void> future_;
};

string pair(world &w, const json &step, bool typed_wrong) {
  subrosa::pair_offer offer = find_device(w, step).handle.offer_pairing(relay());
  const string key = text(step, "key"), dir = text(step, "dir");
  const subrosa::device_options options(text(step, "name"));
  subrosa::pair_join join(path(w, dir), w.keys.at(key), offer.link().text(), options);  // as a scanned code
  // The new device's side runs on a thread of the library while the old one's runs here.
  completion shown;
  join.wait_code_async(kPatienceMs, nullptr, shown.function());
  offer.wait(kPatienceMs);
  shown.get();
  const string name = offer.request().name;
  string code = join.code();
  if (typed_wrong) code[5] = code[5] == '9' ? '0' : static_cast<char>(code[5] + 1);
  completion opened;
  join.wait_device_async(kPatienceMs, nullptr, opened.function());
  offer.confirm(code);
  opened.get();
  w.devices[text(step, "new")] = open_device{join.device(), key, dir};
  return name;
}

string do_pair(world &w, const json &step) { return pair(w, step, false); }
string do_pair_wrong_code(world &w, const json &step) { return pair(w, step, true); }

string do_tick(world &, const json &) {
  typedef std::chrono::system_clock clock;
  const auto ms = [] { return std::chrono::duration_cast<std::chrono::milliseconds>(clock::now().time_since_epoch()).count(); };
  for (const auto start = ms(); ms() == start;) {
  }
  return "ok";
}

const std::map<string, action> &actions() {
  static const std::map<string, action> all = {
      {"key", do_key}, {"import_key", do_import_key}, {"session", do_session}, {"seal", do_seal}, {"unseal", do_unseal},
      {"create", do_create}, {"open", do_open}, {"close", do_close}, {"restart", do_restart}, {"suspend", do_suspend},
      {"resume", do_resume}, {"network_changed", do_network_changed}, {"verify", do_verify}, {"create_vault", do_create_vault},
      {"open_vault", do_open_vault}, {"vaults", do_vaults}, {"devices", do_devices}, {"collections", do_collections},
      {"copy", do_copy}, {"forks", do_forks}, {"held", do_held},
      {"insert", do_insert}, {"put", do_put}, {"replace", do_replace}, {"get", do_get}, {"await", do_await}, {"set", do_set},
      {"field", do_field}, {"delete", do_delete}, {"count", do_count}, {"scan", do_scan}, {"get_many", do_get_many},
      {"write_many", do_write_many}, {"begin", do_begin}, {"commit", do_commit}, {"abort", do_abort}, {"watch", do_watch},
      {"events", do_events}, {"sync", do_sync}, {"wait_synced", do_wait_synced}, {"stop_sync", do_stop_sync}, {"pair", do_pair},
      {"pair_wrong_code", do_pair_wrong_code}, {"tick", do_tick}, {"names", do_names}, {"get_field", do_get_field},
      {"delete_field", do_delete_field}};
  return all;
}

// The step's answer, or what differed as an exception.
string run_step(world &w, const json &step) {
  const string wanted = text(step, "error");
  string answer;
  try {
    answer = actions().at(text(step, "do"))(w, step);
  } catch (const subrosa::error &failed) {
    if (wanted != failed.name()) throw;
    return "error " + wanted;
  }
  if (!wanted.empty()) throw std::runtime_error("expected error " + wanted + ", got " + answer);
  if (step.contains("expect") && text(step, "expect") != answer) {
    throw std::runtime_error("expected " + text(step, "expect") + ", got " + answer);
  }
  return answer;
}

void run_file(const string &folder, const string &name, const string &work) {
  std::ifstream in(folder + "/" + name);
  const json file = json::parse(in);
  world w;
  w.work = work + "/" + name.substr(0, name.size() - 5);
  if (mkdir(w.work.c_str(), 0700) != 0) throw std::runtime_error("cannot make " + w.work);
  if (file.value("relay", false) && relay().empty()) throw std::runtime_error(name + " needs SUBROSA_TEST_RELAY");
  int number = 0;
  for (const json &step : file.at("steps")) {
    const string place = name + " " + std::to_string(++number) + " " + text(step, "do") + " ";
    try {
      std::cout << place + run_step(w, step) + "\n";
    } catch (const std::exception &differed) {
      throw std::runtime_error(place + differed.what());
    }
  }
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 3) {
    std::cerr << "usage: scenario-cpp SCENARIOS WORK\n";
    return 2;
  }
  std::vector<string> names;
  DIR *folder = opendir(argv[1]);
  while (const dirent *entry = folder == nullptr ? nullptr : readdir(folder)) {
    const string name = entry->d_name;
    if (name.size() > 5 && name.compare(name.size() - 5, 5, ".json") == 0) names.push_back(name);
  }
  if (folder != nullptr) closedir(folder);
  std::sort(names.begin(), names.end());
  try {
    if (names.empty()) throw std::runtime_error("no scenarios in " + string(argv[1]));
    for (const string &name : names) run_file(argv[1], name, argv[2]);
  } catch (const std::exception &failed) {
    std::cerr << failed.what() << "\n";
    return 1;
  }
  return 0;
}
