// SPDX-License-Identifier: Apache-2.0
// What the driver has of each kind of object: as it counts them itself, and as the kernel counts
// what is in its slab caches.
#ifndef SLUICE_TESTS_VM_GUEST_OBJECTS_H
#define SLUICE_TESTS_VM_GUEST_OBJECTS_H

#include <cstdint>
#include <map>
#include <string>

namespace guest {

using Objects = std::map<std::string, uint64_t>;

// By name of the slab cache; throws unless the two ways to count agree, which they may take a
// moment for: what is freed under RCU, or by a worker of the kernel's, is on its way.
Objects live_objects();

// Throws unless all that is left, within a few seconds, is one object for each board that is bound.
void nothing_but_boards_is_left();

}  // namespace guest

#endif  // SLUICE_TESTS_VM_GUEST_OBJECTS_H
