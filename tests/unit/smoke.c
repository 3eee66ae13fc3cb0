// SPDX-License-Identifier: Apache-2.0
// The user-visible headers compile as C and have the layout that they promise.
#include <sluice.h>
#include <sluice/sluice.h>
#include <sluice_sdi.h>
#include <stddef.h>
#include <stdio.h>

static int failures;

static void expect(int good, const char* what) {
  if (good) return;
  fprintf(stderr, "smoke-test: %s\n", what);
  ++failures;
}

int main(void) {
  expect(sizeof(struct sluice_sdi_tensor) == 64, "a tensor descriptor has 64 bytes");
  expect(offsetof(struct sluice_sdi_tensor, address) == 48, "its address stands at 48");
  expect(sizeof(struct sluice_sdi_command) == 64, "a command has 64 bytes");
  expect(offsetof(struct sluice_sdi_command, imm) == 32, "its immediates stand at 32");
  expect(sizeof(struct sluice_sdi_step) == 32, "a step header has 32 bytes");
  expect(SLUICE_SDI_ADDR(1, 2) == ((__u64)1 << 48) + 2, "segment above offset");
  expect(sizeof(struct sluice_info) % 8 == 0, "struct sluice_info has no tail padding");
  return failures != 0;
}
