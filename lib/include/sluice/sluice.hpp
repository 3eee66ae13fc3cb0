// SPDX-License-Identifier: Apache-2.0
// libsluice for C++: everything that is public. For C see sluice.h.
#ifndef SLUICE_SLUICE_HPP
#define SLUICE_SLUICE_HPP

#include <sluice/convert.hpp>
#include <sluice/device.hpp>
#include <sluice/engine.hpp>
#include <sluice/gguf.hpp>
#include <sluice/quantize.hpp>
#include <sluice/result.hpp>
#include <sluice/sampling.hpp>
#include <sluice/text.hpp>

#endif  // SLUICE_SLUICE_HPP
