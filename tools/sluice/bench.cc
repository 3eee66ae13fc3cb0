#include "tools/sluice/commands.h"
namespace sluice::cli { Action add_bench(CLI::App&) { return []() -> Result<int> { return 1; }; } }
