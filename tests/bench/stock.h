// SPDX-License-Identifier: Apache-2.0
// The shared libraries of a stock llama.cpp, loaded at run time from a folder: functions by name,
// whatever version their file names carry.
#ifndef SLUICE_TESTS_BENCH_STOCK_H
#define SLUICE_TESTS_BENCH_STOCK_H

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace peer {

[[noreturn]] inline void die(const std::string& message) {
  std::fprintf(stderr, "stock llama.cpp: %s\n", message.c_str());
  std::exit(1);
}

class Libraries {
 public:
  // names: as "libllama", those that others need first.
  Libraries(const std::string& folder, std::initializer_list<const char*> names) {
    for (const char* name : names) libraries_.push_back(open(folder, name));
  }

  template <typename Signature>
  Signature* call(const char* name) const {
    for (void* library : libraries_) {
      if (void* symbol = dlsym(library, name)) return reinterpret_cast<Signature*>(symbol);
    }
    die(std::string("no function ") + name);
  }

 private:
  static void* open(const std::string& folder, const std::string& name) {
    const std::string plain = folder + "/" + name + ".so";
    if (void* library = dlopen(plain.c_str(), RTLD_NOW | RTLD_GLOBAL)) return library;
    // Versioned names: let the shell's rules find the one that is there.
    const std::string command = "ls '" + folder + "'/" + name + ".*so* 2>/dev/null";
    FILE* pipe = popen(command.c_str(), "r");
    char line[4096] = "";
    if (pipe && !std::fgets(line, sizeof(line), pipe)) line[0] = 0;
    if (pipe) pclose(pipe);
    line[std::strcspn(line, "\n")] = 0;
    void* library = dlopen(line, RTLD_NOW | RTLD_GLOBAL);
    if (!library) die(dlerror());
    return library;
  }

  std::vector<void*> libraries_;
};

}  // namespace peer

#endif  // SLUICE_TESTS_BENCH_STOCK_H
