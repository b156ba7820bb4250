// A test framework in one page: nothing to download, and every case is a ctest of its own.
//
//   TEST_CASE(name) { CHECK(1 + 1 == 2); CHECK_THROWS(std::invalid_argument, f(0)); }
//
// A failed check is printed and the case goes on; run with a case's name, the program runs that
// one.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstring>
#include <vector>

namespace check {

struct Case {
  const char* name;
  void (*run)();
};

inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

// Checks are made by several threads at once.
inline std::atomic<int> failures{0};

inline bool add(const char* name, void (*run)()) {
  cases().push_back({name, run});
  return true;
}

inline void expect(bool ok, const char* what, const char* file, int line) {
  if (ok) return;
  ++failures;
  std::fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
}

// Exit code: 0 if all passed, 1 if not, 2 if there is no such case.
inline int run(const char* wanted) {
  int count = 0;
  for (const Case& one : cases()) {
    if (wanted != nullptr && std::strcmp(wanted, one.name) != 0) continue;
    ++count;
    try {
      one.run();
    } catch (const std::exception& error) {
      ++failures;
      std::fprintf(stderr, "%s: unexpected exception: %s\n", one.name, error.what());
    }
  }
  if (count == 0) return 2;
  return failures == 0 ? 0 : 1;
}

}  // namespace check

#define TEST_CASE(name)                                     \
  static void name();                                       \
  static const bool name##_added = check::add(#name, name); \
  static void name()

#define CHECK(condition) check::expect((condition), #condition, __FILE__, __LINE__)

#define CHECK_THROWS(type, expression)                                       \
  do {                                                                       \
    bool thrown = false;                                                     \
    try {                                                                    \
      static_cast<void>(expression);                                         \
    } catch (const type&) {                                                  \
      thrown = true;                                                         \
    }                                                                        \
    check::expect(thrown, #expression " throws " #type, __FILE__, __LINE__); \
  } while (false)

#define TEST_MAIN() \
  int main(int argc, char** argv) { return check::run(argc > 1 ? argv[1] : nullptr); }
