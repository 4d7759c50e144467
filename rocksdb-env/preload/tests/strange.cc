// Gives every way in, addresses and all methods of FileSystem and of its files, what nobody means: cut and endless names, bytes
// that are no text, addresses with odd parts, offsets beyond everything. Whatever it is, the answer is a status.
//
// strange DIRECTORY SEED STEPS: the same seed takes the same steps. The directory lies in a pool; the names lead at most two
// directories out of it. Prints how many calls went well and how many were refused.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "rocksdb/convenience.h"
#include "rocksdb/env.h"
#include "rocksdb/file_system.h"
#include "rocksdb/utilities/object_registry.h"

using namespace rocksdb;

namespace {

std::shared_ptr<FileSystem> fs;
std::string root;
uint64_t state;
uint64_t done = 0, refused = 0;
const IOOptions io;

// SplitMix64.
uint64_t Word() {
  uint64_t word = state += 0x9e3779b97f4a7c15;
  word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9;
  word = (word ^ word >> 27) * 0x94d049bb133111eb;
  return word ^ word >> 31;
}
uint64_t Below(uint64_t limit) { return Word() % limit; }
bool Chance(uint64_t of) { return Below(of) == 0; }

std::string Bytes(size_t len) {
  std::string bytes(len, 0);
  // No slash: how far a name leads is for Name to say.
  for (char& byte : bytes) {
    byte = static_cast<char>(Word());
    if (byte == '/') byte = '\0';
  }
  return bytes;
}

void Say(const Status& status) { ++(status.ok() ? done : refused); }

// A result that must be there exactly where the call says that it went well.
template <class Result>
bool Say(const Status& status, const Result& result) {
  Say(status);
  if (status.ok() != (result != nullptr)) {
    std::fprintf(stderr, "%s, and the result is %s\n", status.ToString().c_str(), result ? "there" : "missing");
    std::exit(1);
  }
  return status.ok();
}

std::string Component(int* ups) {
  switch (Below(14)) {
    case 0: return "";
    case 1: return ".";
    case 2: return *ups > 0 ? --*ups, ".." : "...";
    case 3: return std::string(254 + Below(3), 'n');
    case 4: return std::string(4090 + Below(12), 'p');
    case 5: return Bytes(1 + Below(12));
    case 6: return std::string("a\0b", 3);
    case 7: return ".snapshots";
    case 8: return "\xff\xfe\xc0\x80";
    case 9: return "dir";
    default: return std::string(1, static_cast<char>('a' + Below(4)));
  }
}

std::string Name() {
  if (!Chance(3)) return root + "/" + static_cast<char>('a' + Below(4));
  int ups = 2;
  std::string name = root;
  for (uint64_t parts = Below(5); parts > 0; --parts) name += "/" + Component(&ups);
  if (Chance(4)) name += std::string(1 + Below(3), '/');
  if (Chance(12)) name += std::string(1, '\0') + "behind";
  return Chance(40) ? std::string() : name;
}

uint64_t Number() {
  const uint64_t around[] = {0, 1, 4096, 1 << 20, uint64_t{1} << 32, uint64_t{1} << 48, uint64_t{1} << 63, 0};
  const uint64_t number = around[Below(8)];
  return Chance(2) ? number + Below(100) : number - Below(100);
}

std::string Address() {
  std::string text = Chance(4) ? "id=daxcow" : "daxcow";
  for (uint64_t parts = Below(6); parts > 0; --parts) {
    int ups = 2;
    switch (Below(12)) {
      case 0: text += "://"; break;
      case 1: text += ":"; break;
      case 2: text += "//"; break;
      case 3: text += "user:word@host:99999"; break;
      case 4: text += "?query=1&fs_uri=daxcow://"; break;
      case 5: text += "#part;"; break;
      case 6: text += "={target={id=daxcow:"; break;
      case 7: text += "}}=;"; break;
      case 8: text += root; break;
      case 9: text += "/" + Component(&ups); break;
      case 10: text += Bytes(1 + Below(20)); break;
      default: text += "%00%2e%2e%2f"; break;
    }
  }
  return text;
}

void Addresses() {
  // Half of them as they are meant, with something behind.
  const std::string address = Chance(2) ? "daxcow://" + (Chance(2) ? Name() : root) : Address();
  ConfigOptions options;
  // Otherwise RocksDB says OK, and gives nothing, to what no factory takes.
  options.ignore_unsupported_options = false;
  switch (Below(4)) {
    case 0: {
      std::shared_ptr<FileSystem> found;
      if (Say(FileSystem::CreateFromString(options, address, &found), found)) Say(found->FileExists(Name(), io, nullptr));
      break;
    }
    case 1: {
      std::unique_ptr<FileSystem> found;
      Say(ObjectRegistry::NewInstance()->NewUniqueObject<FileSystem>(address, &found), found);
      break;
    }
    case 2: {
      Env* env = nullptr;
      std::shared_ptr<Env> guard;
      Say(Env::CreateFromUri(options, address, "", &env, &guard));
      break;
    }
    default: {
      Env* env = nullptr;
      std::shared_ptr<Env> guard;
      Say(Env::CreateFromUri(options, "", address, &env, &guard));
      break;
    }
  }
}

void Readers(const FileOptions& options) {
  static char scratch[70000];
  const uint64_t offset = Number();
  const size_t len = Below(2) ? Below(sizeof scratch) : Below(3);
  Slice got;
  std::unique_ptr<FSRandomAccessFile> random;
  if (Say(fs->NewRandomAccessFile(Name(), options, &random, nullptr), random)) {
    Say(random->Read(offset, len, io, &got, scratch, nullptr));
    FSReadRequest requests[2];
    for (FSReadRequest& request : requests) {
      request.offset = Number();
      request.len = Below(sizeof scratch / 2);
      request.scratch = scratch + (&request - requests) * sizeof scratch / 2;
    }
    Say(random->MultiRead(requests, Below(3), io, nullptr));
    for (FSReadRequest& request : requests) request.status.PermitUncheckedError();
    Say(random->Prefetch(offset, Number(), io, nullptr));
    Say(random->InvalidateCache(Number(), Number()));
    random->GetUniqueId(scratch, Below(64));
  }
  std::unique_ptr<FSSequentialFile> sequential;
  if (Say(fs->NewSequentialFile(Name(), options, &sequential, nullptr), sequential)) {
    Say(sequential->Skip(Number()));
    Say(sequential->Read(len, io, &got, scratch, nullptr));
    Say(sequential->PositionedRead(offset, len, io, &got, scratch, nullptr));
    Say(sequential->InvalidateCache(Number(), Number()));
  }
}

void Writers(const FileOptions& options) {
  std::unique_ptr<FSWritableFile> file;
  Status opened;
  switch (Below(3)) {
    case 0: opened = fs->NewWritableFile(Name(), options, &file, nullptr); break;
    case 1: opened = fs->ReopenWritableFile(Name(), options, &file, nullptr); break;
    default: opened = fs->ReuseWritableFile(Name(), Name(), options, &file, nullptr); break;
  }
  if (Say(opened, file)) {
    file->SetPreallocationBlockSize(Number());
    for (uint64_t calls = Below(6); calls > 0; --calls) {
      const std::string data(Below(20000), 'd');
      switch (Below(9)) {
        case 0: Say(file->PositionedAppend(data, Number(), io, nullptr)); break;
        case 1: Say(file->Truncate(Number(), io, nullptr)); break;
        case 2: Say(file->Allocate(Number(), Number(), io, nullptr)); break;
        case 3: file->PrepareWrite(Number(), Number(), io, nullptr); break;
        case 4: Say(file->RangeSync(Number(), Number(), io, nullptr)); break;
        case 5: Say(file->Sync(io, nullptr)); break;
        case 6: Say(file->Close(io, nullptr)); break;
        default: Say(file->Append(data, io, nullptr)); break;
      }
      file->GetFileSize(io, nullptr);
    }
  }
  std::unique_ptr<FSRandomRWFile> random;
  if (Say(fs->NewRandomRWFile(Name(), options, &random, nullptr), random)) {
    char scratch[1000];
    Slice got;
    if (Chance(4)) Say(random->Close(io, nullptr));
    Say(random->Write(Number(), std::string(Below(9000), 'r'), io, nullptr));
    Say(random->Read(Number(), Below(sizeof scratch), io, &got, scratch, nullptr));
    Say(random->Sync(io, nullptr));
  }
  std::unique_ptr<MemoryMappedFileBuffer> buffer;
  Say(fs->NewMemoryMappedFileBuffer(Name(), &buffer), buffer);
}

void Names() {
  uint64_t number = 0;
  bool is = false;
  std::string path;
  std::vector<std::string> children;
  std::vector<FileAttributes> attributes;
  switch (Below(17)) {
    case 0: Say(fs->FileExists(Name(), io, nullptr)); break;
    case 1: Say(fs->GetChildren(Name(), io, &children, nullptr)); break;
    case 2: Say(fs->GetChildrenFileAttributes(Name(), io, &attributes, nullptr)); break;
    case 3: Say(fs->DeleteFile(Name(), io, nullptr)); break;
    case 4: Say(fs->Truncate(Name(), Number(), io, nullptr)); break;
    case 5: Say(fs->CreateDir(Name(), io, nullptr)); break;
    case 6: Say(fs->CreateDirIfMissing(Name(), io, nullptr)); break;
    case 7: Say(fs->DeleteDir(Name(), io, nullptr)); break;
    case 8: Say(fs->GetFileSize(Name(), io, &number, nullptr)); break;
    case 9: Say(fs->GetFileModificationTime(Name(), io, &number, nullptr)); break;
    case 10: Say(fs->RenameFile(Name(), Name(), io, nullptr)); break;
    case 11: Say(fs->LinkFile(Name(), Name(), io, nullptr)); break;
    case 12: Say(fs->NumFileLinks(Name(), io, &number, nullptr)); break;
    case 13: Say(fs->AreFilesSame(Name(), Name(), io, &is, nullptr)); break;
    case 14: Say(fs->GetFreeSpace(Name(), io, &number, nullptr)); break;
    case 15: Say(fs->GetAbsolutePath(Name(), io, &path, nullptr)); break;
    default: Say(fs->IsDirectory(Name(), io, &is, nullptr)); break;
  }
  std::unique_ptr<FSDirectory> directory;
  if (Chance(4) && Say(fs->NewDirectory(Name(), io, &directory, nullptr), directory)) {
    char id[32];
    directory->GetUniqueId(id, Below(sizeof id));
    Say(directory->Fsync(io, nullptr));
  }
  FileLock* lock = nullptr;
  if (Chance(4) && Say(fs->LockFile(Name(), io, &lock, nullptr), lock)) Say(fs->UnlockFile(lock, io, nullptr));
  std::shared_ptr<Logger> logger;
  if (Chance(8) && Say(fs->NewLogger(Name(), io, &logger, nullptr), logger)) {
    logger->SetInfoLogLevel(InfoLogLevel::DEBUG_LEVEL);
    Log(InfoLogLevel::ERROR_LEVEL, logger, "%s", Bytes(Below(3000)).c_str());
    Log(InfoLogLevel::ERROR_LEVEL, logger, "%s", "");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s DIRECTORY SEED STEPS\n", argv[0]);
    return 2;
  }
  fs = FileSystem::Default();
  root = argv[1];
  state = std::strtoull(argv[2], nullptr, 0);
  const uint64_t steps = std::strtoull(argv[3], nullptr, 0);
  uint64_t step = 0;
  try {
    // Keeps the pool open: otherwise each call would open and close it.
    std::unique_ptr<FSDirectory> held;
    Say(fs->NewDirectory(root, io, &held, nullptr), held);
    for (; step < steps; ++step) {
      // Some steps remove it, and put a file in its place.
      if (!fs->CreateDirIfMissing(root, io, nullptr).ok()) {
        Say(fs->DeleteFile(root, io, nullptr));
        Say(fs->CreateDirIfMissing(root, io, nullptr));
      }
      FileOptions options;
      options.use_mmap_reads = Chance(2);
      switch (Below(4)) {
        case 0: Addresses(); break;
        case 1: Readers(options); break;
        case 2: Writers(options); break;
        default: Names(); break;
      }
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "step %llu: an exception: %s\n", static_cast<unsigned long long>(step), error.what());
    return 1;
  } catch (...) {
    std::fprintf(stderr, "step %llu: an exception\n", static_cast<unsigned long long>(step));
    return 1;
  }
  std::printf("%llu done, %llu refused\n", static_cast<unsigned long long>(done), static_cast<unsigned long long>(refused));
}
