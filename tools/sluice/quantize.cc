#include "tools/sluice/commands.h"
namespace sluice::cli { Action add_quantize(CLI::App&) { return []() -> Result<int> { return 1; }; } }
