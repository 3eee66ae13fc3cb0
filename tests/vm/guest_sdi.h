// SPDX-License-Identifier: Apache-2.0
// Boards with the Device Interface, as emulators beside the guest serve them (tests/vm/run), and
// raw calls of the driver for them.
#ifndef SLUICE_TESTS_VM_GUEST_SDI_H
#define SLUICE_TESTS_VM_GUEST_SDI_H

#include <sluice_sdi.h>

#include <chrono>
#include <sluice/queue.hpp>

#include "guest.h"

namespace guest {

inline constexpr char kBoard[] = "0000:00:09.0";    // well
inline constexpr char kHanging[] = "0000:00:0a.0";  // hangs at its fifth entry
inline constexpr char kLosing[] = "0000:00:0b.0";   // raises no interrupt
inline constexpr char kMortal[] = "0000:00:0c.0";   // its process can be killed
inline constexpr char kPulled[] = "0000:01:00.0";   // can be pulled out of its slot
inline constexpr char kPulledPort[] = "0000:00:0e.0";

// A struct of the ABI with its size filled in.
template <typename T>
T argument() {
  T arg = {};
  arg.size = sizeof(T);
  return arg;
}

// Raw calls; each throws Failure unless it succeeds.
struct sluice_info info_of(int fd);
uint32_t allocate(int fd, uint32_t kind, uint64_t length);
struct sluice_queue make_queue(int fd, uint32_t flags = 0, uint32_t n_entries = 16,
                               uint32_t n_segments = 8);
void free_object(int fd, uint32_t handle);
// These return an errno value, 0 for success.
int grant(int fd, uint32_t queue, uint32_t segment, uint32_t handle, uint64_t offset,
          uint64_t length, uint32_t flags = SLUICE_GRANT_READ | SLUICE_GRANT_WRITE);
int submit(int fd, uint32_t queue, const std::vector<sluice_sdi_entry>& entries,
           uint32_t* accepted = nullptr);
int wait(int fd, uint32_t queue, std::vector<sluice_sdi_completion>* completions,
         std::chrono::milliseconds timeout = std::chrono::seconds(5));
int reset(int fd);

// The object mapped; throws.
volatile uint8_t* map_object(int fd, uint32_t handle, uint64_t length,
                             uint32_t type = SLUICE_MAP_NATIVE, uint64_t offset = 0, int prot = 3);

sluice_sdi_entry nop(uint32_t id);
sluice_sdi_entry copy(uint32_t id, uint64_t src, uint64_t dst, uint64_t length);

// Entries of a queue that the driver keeps, all collected: their completions.
std::vector<sluice_sdi_completion> run(int fd, uint32_t queue,
                                       const std::vector<sluice_sdi_entry>& entries);

// Ends the process of that board (its name in tests/vm/run); its registers stay as they are.
void kill_emulator(const std::string& name);

void set_parameter(const char* name, const std::string& value);

}  // namespace guest

#endif  // SLUICE_TESTS_VM_GUEST_SDI_H
