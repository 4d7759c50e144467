// The calls of contract.cc with the FileSystem that is linked, for a Rust test.
#define DAXCOW_CONTRACT_IS_PART
#include "../../preload/tests/contract.cc"

#include "file_system.h"

// Calls every method below `directory`; the answers go to the file `to`. Not 0 where that cannot be written.
extern "C" int daxcow_test_contract(const char* directory, const char* to) {
  FILE* file = std::fopen(to, "w");
  if (file == nullptr) return 1;
  EveryMethod(daxcow::FileSystemOver(FileSystem::Default()), directory, file);
  fs.reset();
  return std::fclose(file);
}
