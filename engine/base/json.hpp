// describe(): one field list beside each struct serves to_json and from_json<T>.
//
//   struct Health { std::vector<std::string> test; std::int64_t interval_ns = 0; };
//   void describe(auto& field, Health& h) { field("Test", h.test)("Interval", h.interval_ns); }
//
// Unknown keys are ignored; missing or null keeps the default; a wrong type is invalid_argument
// with its place ("Mounts[1].Target: expected a string"). A std::optional without a value is left
// out when written. A type that is one JSON value (Time, Digest) says so by a pair of functions
// beside it:
//   boost::json::value leaf_to_json(const T&);
//   Result<T> leaf_from_json(const boost::json::value&, std::type_identity<T>);
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "engine/base/field_names.hpp"
#include "engine/base/ident.hpp"
#include "engine/base/json_fwd.hpp"
#include "engine/base/result.hpp"

namespace coracle::json {

// errors: invalid_argument with the reason and the offset; also when something follows the value
Result<Value> parse(std::string_view text);
struct First {  // value in a text
  Value value;
  std::optional<char> behind;  // the first byte behind it that is no blank
};
Result<First> parse_first(std::string_view text);
// One line, no escaping of <>& beyond what JSON asks for.
std::string serialize(const Value& value);

namespace detail {

template <class T>
concept Leaf = requires(const T& t, const Value& v) {
  { leaf_to_json(t) } -> std::same_as<Value>;
  { leaf_from_json(v, std::type_identity<T>{}) } -> std::same_as<Result<T>>;
};
template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsMap : std::false_type {};
template <class T>
struct IsMap<std::map<std::string, T>> : std::true_type {};

std::unexpected<Error> wrong_type(const std::string& place, const char* expected);

template <class T>
Value write(const T& t);

struct Writer {
  boost::json::object out;
  template <class T>
  Writer& operator()(std::string_view name, const T& member) {
    if constexpr (IsOptional<T>::value) {
      if (!member) return *this;
      out[name] = write(*member);
    } else {
      out[name] = write(member);
    }
    return *this;
  }
};

template <class T>
Value write(const T& t) {
  if constexpr (std::same_as<T, Value>) {
    return t;
  } else if constexpr (std::same_as<T, Time>) {
    return Value(to_rfc3339(t));
  } else if constexpr (Leaf<T>) {
    return leaf_to_json(t);
  } else if constexpr (std::same_as<T, bool>) {
    return Value(t);
  } else if constexpr (std::is_arithmetic_v<T>) {
    return Value(t);
  } else if constexpr (std::same_as<T, std::string>) {
    return Value(t);
  } else if constexpr (IsOptional<T>::value) {
    return t ? write(*t) : Value(nullptr);
  } else if constexpr (IsVector<T>::value) {
    boost::json::array a;
    a.reserve(t.size());
    for (const auto& e : t) a.push_back(write<typename T::value_type>(e));
    return a;
  } else if constexpr (IsMap<T>::value) {
    boost::json::object o;
    for (const auto& [k, v] : t) o[k] = write(v);
    return o;
  } else {
    Writer w;
    // describe() takes a mutable reference because it serves the reader too; the writer only reads.
    describe(w, const_cast<T&>(t));
    return std::move(w.out);
  }
}

enum class Keys : std::uint8_t { exact, any_case };

template <Keys kKeys, class T>
Result<> read(const Value& v, T& into, const std::string& place);

// Gives each field its value, asked in the order of describe(); null when there is none.
template <Keys kKeys>
class Finder;
template <>
class Finder<Keys::exact> {
 public:
  template <class T>
  Finder(const boost::json::object& in, std::type_identity<T> /*of*/) : in_(in) {}
  const Value* next(std::string_view name) {
    const auto* found = in_.if_contains(name);
    return found == nullptr || found->is_null() ? nullptr : found;
  }

 private:
  const boost::json::object& in_;
};
// One walk over the keys, however many fields there are: a client may send a million of them. Of
// several that mean one field the last one counts.
template <>
class Finder<Keys::any_case> {
 public:
  template <class T>
  Finder(const boost::json::object& in, std::type_identity<T> /*of*/)
      : values_(field_names<T>().size()) {
    for (const auto& pair : in) {
      const auto field = field_names<T>().find(pair.key());
      if (field && !pair.value().is_null()) values_[*field] = &pair.value();
    }
  }
  const Value* next(std::string_view /*name*/) { return values_[at_++]; }

 private:
  std::vector<const Value*> values_;
  std::size_t at_ = 0;
};

template <Keys kKeys>
struct Reader {
  Finder<kKeys> fields;
  const std::string& place;
  Result<> status;
  template <class T>
  Reader& operator()(std::string_view name, T& member) {
    if (!status) return *this;
    if (const auto* found = fields.next(name); found != nullptr) {
      status = read<kKeys>(*found, member,
                           place.empty() ? std::string(name) : place + "." + std::string(name));
    }
    return *this;
  }
};

template <class T>
Result<> read_number(const Value& v, T& into, const std::string& place) {
  if constexpr (std::is_floating_point_v<T>) {
    if (!v.is_number()) return wrong_type(place, "a number");
    into = v.is_double()  ? static_cast<T>(v.get_double())
           : v.is_int64() ? static_cast<T>(v.get_int64())
                          : static_cast<T>(v.get_uint64());
    return {};
  } else {
    if (v.is_int64() && std::in_range<T>(v.get_int64())) {
      into = static_cast<T>(v.get_int64());
      return {};
    }
    if (v.is_uint64() && std::in_range<T>(v.get_uint64())) {
      into = static_cast<T>(v.get_uint64());
      return {};
    }
    // 1e3 and 5.0 are whole numbers too.
    if (v.is_double() && std::trunc(v.get_double()) == v.get_double() &&
        std::abs(v.get_double()) < 9e15 &&
        std::in_range<T>(static_cast<std::int64_t>(v.get_double()))) {
      into = static_cast<T>(v.get_double());
      return {};
    }
    return wrong_type(place, v.is_number() ? "a whole number in range" : "a number");
  }
}

template <Keys kKeys, class T>
Result<> read(const Value& v, T& into, const std::string& place) {
  if constexpr (std::same_as<T, Value>) {
    into = v;
    return {};
  } else if constexpr (std::same_as<T, Time>) {
    if (!v.is_string()) return wrong_type(place, "a time");
    auto t = from_rfc3339(v.get_string());
    if (!t) return wrong_type(place, "a time (RFC 3339)");
    into = *t;
    return {};
  } else if constexpr (Leaf<T>) {
    auto r = leaf_from_json(v, std::type_identity<T>{});
    if (!r) return std::unexpected(r.error().within("{}", place));
    into = *std::move(r);
    return {};
  } else if constexpr (std::same_as<T, bool>) {
    if (!v.is_bool()) return wrong_type(place, "true or false");
    into = v.get_bool();
    return {};
  } else if constexpr (std::is_arithmetic_v<T>) {
    return read_number(v, into, place);
  } else if constexpr (std::same_as<T, std::string>) {
    if (!v.is_string()) return wrong_type(place, "a string");
    into = std::string(v.get_string());
    return {};
  } else if constexpr (IsOptional<T>::value) {
    typename T::value_type inner{};
    CHECK(read<kKeys>(v, inner, place));
    into = std::move(inner);
    return {};
  } else if constexpr (IsVector<T>::value) {
    if (!v.is_array()) return wrong_type(place, "a list");
    T list;
    for (std::size_t i = 0; i < v.get_array().size(); ++i) {
      typename T::value_type element{};
      if (!v.get_array()[i].is_null())
        CHECK(read<kKeys>(v.get_array()[i], element, place + "[" + std::to_string(i) + "]"));
      list.push_back(std::move(element));
    }
    into = std::move(list);
    return {};
  } else if constexpr (IsMap<T>::value) {
    if (!v.is_object()) return wrong_type(place, "an object");
    T map;
    for (const auto& kv : v.get_object()) {
      typename T::mapped_type element{};
      const std::string key(kv.key());
      if (!kv.value().is_null())
        CHECK(read<kKeys>(kv.value(), element, place.empty() ? key : place + "." + key));
      map[key] = std::move(element);
    }
    into = std::move(map);
    return {};
  } else {
    if (!v.is_object()) return wrong_type(place, "an object");
    Reader<kKeys> r{{v.get_object(), std::type_identity<T>{}}, place, {}};
    describe(r, into);
    return std::move(r.status);
  }
}

}  // namespace detail

template <class T>
Value to_json(const T& t) {
  return detail::write(t);
}
// to_json and serialize in one.
template <class T>
std::string to_text(const T& t) {
  return serialize(detail::write(t));
}
template <class T>
Result<T> from_json(const Value& v) {
  T t{};
  CHECK(detail::read<detail::Keys::exact>(v, t, std::string{}));
  return t;
}
// What a client of Docker sent, as Go's encoding/json takes it: a key of an object that is a struct
// means a field whatever its case, and null leaves everything as it is.
template <class T>
Result<T> from_json_of_client(const Value& v) {
  T t{};
  if (!v.is_null()) CHECK(detail::read<detail::Keys::any_case>(v, t, std::string{}));
  return t;
}
// parse and from_json in one.
template <class T>
Result<T> from_text(std::string_view text) {
  TRY(const auto v, parse(text));
  return from_json<T>(v);
}

}  // namespace coracle::json
