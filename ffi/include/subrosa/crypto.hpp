// Keys and sessions. Included by subrosa.hpp.
#ifndef SUBROSA_CRYPTO_HPP
#define SUBROSA_CRYPTO_HPP

#include "base.hpp"

namespace subrosa {

inline public_key public_key_from_spki(const bytes &der) {
  public_key out;
  detail::trial t;
  t(subrosa_public_key_from_spki(der.data(), der.size(), &out, t.slot()));
  return out;
}

inline bytes public_key_to_spki(const public_key &key) {
  bytes der(91);
  detail::trial t;
  t(subrosa_public_key_to_spki(&key, der.data(), t.slot()));
  return der;
}

inline void check(const public_key &key) {
  detail::trial t;
  t(subrosa_public_key_check(&key, t.slot()));
}

// Throws SUBROSA_BAD_SIGNATURE when it is none of this key, label and message.
inline void verify(const public_key &key, const bytes &label, const bytes &message, const bytes &signature) {
  if (signature.size() != 64) throw error(SUBROSA_BAD_SIGNATURE, nullptr);
  detail::trial t;
  t(subrosa_public_key_verify(&key, label.data(), label.size(), message.data(), message.size(), signature.data(), t.slot()));
}

// A private key that lives elsewhere. The functions return 0 or a code of their own, which arrives as error::number().
struct key_provider {
  subrosa::public_key public_key;
  std::function<std::int32_t(const subrosa::public_key &peer, std::uint8_t shared_x[32])> agree;
  std::function<std::int32_t(const std::uint8_t *message, std::size_t len, std::uint8_t signature[64])> sign;
};

namespace detail {
inline std::int32_t on_agree(void *user, const subrosa_public_key *peer, std::uint8_t *shared_x) noexcept {
  return static_cast<key_provider *>(user)->agree(*peer, shared_x);
}
inline std::int32_t on_sign(void *user, const std::uint8_t *message, std::size_t len, std::uint8_t *signature) noexcept {
  return static_cast<key_provider *>(user)->sign(message, len, signature);
}
}  // namespace detail

class key : public detail::handle<subrosa_key, subrosa_key_close> {
 public:
  key() noexcept {}
  explicit key(subrosa_key *raw) noexcept : handle(raw) {}
  static key generate() {
    check_abi();
    detail::trial t;
    subrosa_key *out = nullptr;
    t(subrosa_key_generate(&out, t.slot()));
    return key(out);
  }
  static key from_pkcs8(const std::uint8_t *der, std::size_t len) {
    check_abi();
    detail::trial t;
    subrosa_key *out = nullptr;
    t(subrosa_key_from_pkcs8(der, len, &out, t.slot()));
    return key(out);
  }
  static key from_pkcs8(const bytes &der) { return from_pkcs8(der.data(), der.size()); }
  static key from_provider(key_provider provider) {
    check_abi();
    if (!provider.agree || !provider.sign) throw error(SUBROSA_INVALID_ARGUMENT, nullptr);
    subrosa_key_provider raw = subrosa_key_provider();
    raw.struct_size = sizeof raw;
    raw.public_key = provider.public_key;
    raw.user = new key_provider(std::move(provider));
    raw.user_free = detail::free_function<key_provider>;
    raw.agree = detail::on_agree;
    raw.sign = detail::on_sign;
    detail::trial t;
    subrosa_key *out = nullptr;
    t(subrosa_key_from_provider(&raw, &out, t.slot()));
    return key(out);
  }
  secret to_pkcs8() const {
    secret out;
    detail::trial t;
    t(subrosa_key_to_pkcs8(raw(), out.out(), t.slot()));
    return out;
  }
  subrosa::public_key public_key() const {
    subrosa::public_key out;
    detail::trial t;
    t(subrosa_key_public(raw(), &out, t.slot()));
    return out;
  }
  bytes sign(const bytes &label, const bytes &message) const {
    bytes out(64);
    detail::trial t;
    t(subrosa_key_sign(raw(), label.data(), label.size(), message.data(), message.size(), out.data(), t.slot()));
    return out;
  }
};

class session : public detail::handle<subrosa_session, subrosa_session_close> {
 public:
  session() noexcept {}
  // What this key seals for itself.
  session(const key &mine, std::int32_t profile, const bytes &context) {
    detail::trial t;
    subrosa_session *out = nullptr;
    t(subrosa_session_self(mine.raw(), profile, context.data(), context.size(), &out, t.slot()));
    reset(out);
  }
  session(const key &mine, const public_key &peer, std::int32_t profile, const bytes &context) {
    detail::trial t;
    subrosa_session *out = nullptr;
    t(subrosa_session_peer(mine.raw(), &peer, profile, context.data(), context.size(), &out, t.slot()));
    reset(out);
  }
  bytes seal(const bytes &aad, const std::uint8_t *plain, std::size_t len) const {
    detail::buffer out;
    detail::trial t;
    t(subrosa_session_seal(raw(), aad.data(), aad.size(), plain, len, out.out(), t.slot()));
    return out.all();
  }
  bytes seal(const bytes &aad, const std::string &plain) const {
    return seal(aad, reinterpret_cast<const std::uint8_t *>(plain.data()), plain.size());
  }
  secret open(const bytes &aad, const bytes &sealed) const {
    secret out;
    detail::trial t;
    t(subrosa_session_open(raw(), aad.data(), aad.size(), sealed.data(), sealed.size(), out.out(), t.slot()));
    return out;
  }
};

}  // namespace subrosa

#endif
