// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * abi_check.c - compiled for nothing but its assertions, for 32- and 64-bit
 * callers, with -Wpadded: no struct of the ABI may have implicit padding.
 */
#include "abi_check.h"
