#include "tools/sluice/commands.h"
namespace sluice::cli { Action add_synth(CLI::App&) { return []() -> Result<int> { return 1; }; } }
