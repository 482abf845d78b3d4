// Subrosa for C++11 and later: handles that close themselves, exceptions, std::string. All inline over subrosa.h, which says
// what each call does, which threads may make it, and with which errors it fails.
//
//   subrosa::device device = subrosa::device::create("store", key);
//   subrosa::collection notes = device.create_vault("personal").collection("notes");
//   subrosa::id id = notes.insert("{\"title\":\"Call Anna\"}");
//
// Every object moves and does not copy, except ids, public keys, events, errors and reports. An object that was closed or moved
// from may be destroyed or assigned to; any other use throws subrosa::error. Destructors never throw.
#ifndef SUBROSA_HPP
#define SUBROSA_HPP

#include "subrosa/base.hpp"
#include "subrosa/crypto.hpp"
#include "subrosa/data.hpp"
#include "subrosa/device.hpp"

#endif
