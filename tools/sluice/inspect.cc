#include "tools/sluice/commands.h"
namespace sluice::cli { Action add_inspect(CLI::App&) { return []() -> Result<int> { return 1; }; } }
