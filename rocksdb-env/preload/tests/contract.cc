// Calls every method of FileSystem and of its files below a directory, and writes down what they answer. The tests run it below
// a directory of the host and below one in a pool, with the same FileSystem: the answers must be the same. What may differ
// by right is not written down, or written down as a judgement on it.
//
// As a program it is for the preload library: the directory is argv[1], and the answers are printed.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "rocksdb/env.h"
#include "rocksdb/file_system.h"

using namespace rocksdb;

namespace {

std::shared_ptr<FileSystem> fs;
std::string root;
FILE* answers;
const IOOptions io;
const FileOptions plain;

std::string At(const std::string& name) { return root + "/" + name; }

// Code and subcode; messages may differ.
std::string Name(const Status& status) {
  if (status.ok()) {
    return "ok";
  }
  std::string text = std::to_string(status.code()) + "." + std::to_string(status.subcode());
  if (status.IsIOError()) text += " io";
  if (status.IsNotFound()) text += " not-found";
  if (status.IsNotSupported()) text += " not-supported";
  if (status.IsPathNotFound()) text += " path";
  if (status.IsNoSpace()) text += " space";
  return text;
}

void Say(const std::string& what, const std::string& answer) { std::fprintf(answers, "%s: %s\n", what.c_str(), answer.c_str()); }
void Say(const std::string& what, const Status& status) { Say(what, Name(status)); }
// Of a call that sets `value`.
void SayValue(const std::string& what, const Status& status, const uint64_t& value) {
  Say(what, status.ok() ? "ok " + std::to_string(value) : Name(status));
}
void SayWhether(const std::string& what, const Status& status, const bool& value) {
  Say(what, status.ok() ? (value ? "ok yes" : "ok no") : Name(status));
}

std::string Shown(const Slice& bytes) {
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(bytes.size(), 40); ++i) {
    text += bytes[i] == 0 ? '0' : bytes[i];
  }
  return std::to_string(bytes.size()) + " bytes " + text;
}

std::string Contents(const std::string& name) {
  std::string text;
  Status status = ReadFileToString(fs.get(), At(name), &text);
  return status.ok() ? Shown(text) : Name(status);
}

void Write(const std::string& name, const std::string& text) {
  Status status = WriteStringToFile(fs.get(), text, At(name), true);
  if (!status.ok()) Say("writing " + name, status);
}

uint64_t Size(const std::string& name) {
  uint64_t size = 0;
  fs->GetFileSize(At(name), io, &size, nullptr).PermitUncheckedError();
  return size;
}

std::unique_ptr<FSWritableFile> New(const std::string& name) {
  std::unique_ptr<FSWritableFile> file;
  Say("NewWritableFile " + name, fs->NewWritableFile(At(name), plain, &file, nullptr));
  return file;
}

void SequentialFiles() {
  Write("seq", "0123456789");
  std::unique_ptr<FSSequentialFile> file;
  Say("NewSequentialFile missing", fs->NewSequentialFile(At("missing"), plain, &file, nullptr));
  Say("NewSequentialFile below a file", fs->NewSequentialFile(At("seq/x"), plain, &file, nullptr));
  Say("no file", file == nullptr ? "null" : "a file");
  Say("NewSequentialFile", fs->NewSequentialFile(At("seq"), plain, &file, nullptr));
  char scratch[32];
  Slice got;
  Say("Read", file->Read(4, io, &got, scratch, nullptr));
  Say("read", Shown(got));
  Say("Skip", file->Skip(2));
  Say("Read to the end", file->Read(20, io, &got, scratch, nullptr));
  Say("read", Shown(got));
  Say("Read at the end", file->Read(20, io, &got, scratch, nullptr));
  Say("read", Shown(got));
  Say("InvalidateCache", file->InvalidateCache(0, 0));
  Say("use_direct_io", file->use_direct_io() ? "yes" : "no");
  // A reader that follows a writer.
  std::unique_ptr<FSWritableFile> writer = New("tail");
  Say("NewSequentialFile of an open file", fs->NewSequentialFile(At("tail"), plain, &file, nullptr));
  for (const char* text : {"one", "two"}) {
    Say("Append", writer->Append(text, io, nullptr));
    Say("Flush", writer->Flush(io, nullptr));
    Say("Read", file->Read(20, io, &got, scratch, nullptr));
    Say("flushed bytes are read", Shown(got));
  }
}

void RandomAccessFiles(bool mmap) {
  FileOptions options;
  options.use_mmap_reads = mmap;
  const std::string how = mmap ? "in place, " : "copied, ";
  std::string text(100000, 'x');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 23);
  Write("random", text);
  std::unique_ptr<FSRandomAccessFile> file;
  Say(how + "NewRandomAccessFile missing", fs->NewRandomAccessFile(At("missing"), options, &file, nullptr));
  Say(how + "NewRandomAccessFile", fs->NewRandomAccessFile(At("random"), options, &file, nullptr));
  std::vector<char> scratch(text.size());
  Slice got;
  for (auto [offset, len] : {std::pair<uint64_t, size_t>{0, 10}, {4090, 20}, {99990, 100}, {100000, 10}}) {
    Say(how + "Read", file->Read(offset, len, io, &got, scratch.data(), nullptr));
    Say("read", Shown(got));
  }
  Say(how + "Read of nothing within", file->Read(70000, 0, io, &got, scratch.data(), nullptr));
  if (mmap) {
    Say("Read beyond the end", file->Read(100001, 10, io, &got, scratch.data(), nullptr));
    Say("Read without scratch", file->Read(5, 50000, io, &got, nullptr, nullptr));
    Say("equal", got == Slice(text.data() + 5, 50000) ? "yes" : "no");
  }
  FSReadRequest requests[3];
  for (size_t i = 0; i < 3; ++i) {
    requests[i].offset = i * 49995;
    requests[i].len = 20;
    requests[i].scratch = scratch.data() + i * 20;
  }
  Say(how + "MultiRead", file->MultiRead(requests, 3, io, nullptr));
  for (FSReadRequest& request : requests) {
    Say("request", request.status);
    Say("read", Shown(request.result));
  }
  Say(how + "Prefetch", file->Prefetch(0, 4096, io, nullptr));
  Say(how + "InvalidateCache", file->InvalidateCache(0, 0));
  file->Hint(FSRandomAccessFile::kRandom);
  char ids[2][64];
  std::unique_ptr<FSRandomAccessFile> again;
  Say("NewRandomAccessFile again", fs->NewRandomAccessFile(At("random"), options, &again, nullptr));
  const size_t sizes[2] = {file->GetUniqueId(ids[0], 64), again->GetUniqueId(ids[1], 64)};
  Say(how + "the unique id stays", sizes[0] == sizes[1] && sizes[0] > 0 && !memcmp(ids[0], ids[1], sizes[0]) ? "yes" : "no");
  Say("an id that does not fit", std::to_string(file->GetUniqueId(ids[0], 1)));
  // Readers, and what they were given, outlive the name.
  Say("Read", file->Read(50000, 10000, io, &got, scratch.data(), nullptr));
  Say("DeleteFile", fs->DeleteFile(At("random"), io, nullptr));
  Write("other", std::string(200000, '!'));
  Say("bytes stay", got == Slice(text.data() + 50000, 10000) ? "yes" : "no");
  Say("Read after DeleteFile", file->Read(7, 10, io, &got, scratch.data(), nullptr));
  Say("read", Shown(got));
  if (mmap) {
    return;  // An empty file cannot be mapped on the host.
  }
  Write("empty", "");
  Say(how + "NewRandomAccessFile empty", fs->NewRandomAccessFile(At("empty"), options, &file, nullptr));
  Say("Read of nothing", file->Read(0, 10, io, &got, scratch.data(), nullptr));
  Say("read", Shown(got));
}

void WritableFiles() {
  std::unique_ptr<FSWritableFile> file;
  Say("NewWritableFile nowhere", fs->NewWritableFile(At("missing/x"), plain, &file, nullptr));
  Say("no file", file == nullptr ? "null" : "a file");
  Write("w", "old contents that are longer");
  file = New("w");
  Say("an existing file is emptied", std::to_string(Size("w")));
  Say("Append", file->Append("hello ", io, nullptr));
  DataVerificationInfo verification;
  Say("Append verified", file->Append("world", io, verification, nullptr));
  Say("Flush", file->Flush(io, nullptr));
  Say("flushed", Contents("w"));
  Say("GetFileSize", std::to_string(file->GetFileSize(io, nullptr)));
  Say("Sync", file->Sync(io, nullptr));
  Say("Fsync", file->Fsync(io, nullptr));
  Say("RangeSync", file->RangeSync(0, 5, io, nullptr));
  Say("IsSyncThreadSafe", file->IsSyncThreadSafe() ? "yes" : "no");
  Say("use_direct_io", file->use_direct_io() ? "yes" : "no");
  file->SetIOPriority(Env::IO_HIGH);
  Say("GetIOPriority", std::to_string(file->GetIOPriority()));
  file->SetWriteLifeTimeHint(Env::WLTH_SHORT);
  Say("GetWriteLifeTimeHint", std::to_string(file->GetWriteLifeTimeHint()));
  Say("Allocate", file->Allocate(0, 1 << 20, io, nullptr));
  Say("the size stays", std::to_string(Size("w")));
  Say("InvalidateCache", file->InvalidateCache(0, 0));
  Say("Truncate", file->Truncate(5, io, nullptr));
  Say("truncated", std::to_string(Size("w")));
  Say("Close", file->Close(io, nullptr));
  file.reset();
  Say("closed", Contents("w"));

  file = New("prepared");
  file->SetPreallocationBlockSize(1 << 20);
  file->PrepareWrite(0, 100, io, nullptr);
  size_t block = 0, last = 0;
  file->GetPreallocationStatus(&block, &last);
  Say("preallocation", std::to_string(block) + " " + std::to_string(last));
  Say("the size stays", std::to_string(Size("prepared")));
  Say("Append", file->Append(std::string(100, 'p'), io, nullptr));
  Say("Close", file->Close(io, nullptr));
  Say("prepared", std::to_string(Size("prepared")));

  Say("ReopenWritableFile", fs->ReopenWritableFile(At("w"), plain, &file, nullptr));
  Say("GetFileSize of a reopened file", std::to_string(file->GetFileSize(io, nullptr)));
  Say("Append", file->Append("!", io, nullptr));
  Say("Close", file->Close(io, nullptr));
  Say("reopened", Contents("w"));
  Say("ReopenWritableFile creates", fs->ReopenWritableFile(At("w2"), plain, &file, nullptr));
  Say("Append", file->Append("new", io, nullptr));
  Say("Close", file->Close(io, nullptr));
  Say("created", Contents("w2"));

  Write("old", "0123456789");
  Say("ReuseWritableFile", fs->ReuseWritableFile(At("reused"), At("old"), plain, &file, nullptr));
  Say("the old name", fs->FileExists(At("old"), io, nullptr));
  Say("before it is written", Contents("reused"));
  Say("GetFileSize", std::to_string(file->GetFileSize(io, nullptr)));
  Say("Append", file->Append("abc", io, nullptr));
  Say("Flush", file->Flush(io, nullptr));
  Say("overwritten", Contents("reused"));
  Say("Close", file->Close(io, nullptr));
  Say("closed", Contents("reused"));
  Say("ReuseWritableFile missing", fs->ReuseWritableFile(At("x"), At("missing"), plain, &file, nullptr));

  // Sync from another thread while appends go on.
  file = New("threads");
  std::thread syncs([&] {
    for (int i = 0; i < 200; ++i) file->Sync(io, nullptr).PermitUncheckedError();
  });
  for (int i = 0; i < 2000; ++i) file->Append("0123456789", io, nullptr).PermitUncheckedError();
  syncs.join();
  Say("Close", file->Close(io, nullptr));
  Say("appended beside syncs", std::to_string(Size("threads")));
}

void RandomRWFiles() {
  std::unique_ptr<FSRandomRWFile> file;
  Say("NewRandomRWFile missing", fs->NewRandomRWFile(At("missing"), plain, &file, nullptr));
  Write("rw", "0123456789");
  Say("NewRandomRWFile", fs->NewRandomRWFile(At("rw"), plain, &file, nullptr));
  char scratch[64];
  Slice got;
  Say("Write", file->Write(3, "abc", io, nullptr));
  Say("Write beyond the end", file->Write(15, "end", io, nullptr));
  Say("Read", file->Read(2, 40, io, &got, scratch, nullptr));
  Say("read", Shown(got));
  Say("Flush", file->Flush(io, nullptr));
  Say("Sync", file->Sync(io, nullptr));
  Say("Fsync", file->Fsync(io, nullptr));
  Say("Close", file->Close(io, nullptr));
  Say("written", Contents("rw"));

  std::unique_ptr<MemoryMappedFileBuffer> buffer;
  Say("NewMemoryMappedFileBuffer missing", fs->NewMemoryMappedFileBuffer(At("missing"), &buffer));
  Write("empty", "");
  Say("NewMemoryMappedFileBuffer of nothing", fs->NewMemoryMappedFileBuffer(At("empty"), &buffer));
  Say("NewMemoryMappedFileBuffer", fs->NewMemoryMappedFileBuffer(At("rw"), &buffer));
  Say("GetLen", std::to_string(buffer->GetLen()));
  Say("buffer", Shown(Slice(static_cast<char*>(buffer->GetBase()), buffer->GetLen())));
  std::memcpy(buffer->GetBase(), "XY", 2);
  Say("stored to the buffer", Contents("rw"));
  Say("NewRandomRWFile beside the buffer", fs->NewRandomRWFile(At("rw"), plain, &file, nullptr));
  Say("Write beside the buffer", file->Write(2, "zz", io, nullptr));
  Say("the buffer then", Shown(Slice(static_cast<char*>(buffer->GetBase()), buffer->GetLen())));
  buffer.reset();
  Say("after the buffer", Contents("rw"));
}

void Names() {
  Say("CreateDir", fs->CreateDir(At("dir"), io, nullptr));
  Say("CreateDir again", fs->CreateDir(At("dir"), io, nullptr));
  Say("CreateDirIfMissing again", fs->CreateDirIfMissing(At("dir"), io, nullptr));
  Say("CreateDirIfMissing", fs->CreateDirIfMissing(At("dir/sub"), io, nullptr));
  Say("CreateDirIfMissing nowhere", fs->CreateDirIfMissing(At("missing/sub"), io, nullptr));
  Write("dir/file", "content");
  Say("CreateDirIfMissing of a file", fs->CreateDirIfMissing(At("dir/file"), io, nullptr));
  for (const char* name : {"dir", "dir/file", "dir/", "missing", "dir/file/x", "missing/x"}) {
    Say(std::string("FileExists ") + name, fs->FileExists(At(name), io, nullptr));
    bool is = false;
    SayWhether(std::string("IsDirectory ") + name, fs->IsDirectory(At(name), io, &is, nullptr), is);
  }
  uint64_t number = 0;
  SayValue("GetFileSize", fs->GetFileSize(At("dir/file"), io, &number, nullptr), number);
  Say("GetFileSize missing", fs->GetFileSize(At("missing"), io, &number, nullptr));
  Status status = fs->GetFileModificationTime(At("dir/file"), io, &number, nullptr);
  Say("GetFileModificationTime", status);
  Say("just now", number + 60 > static_cast<uint64_t>(time(nullptr)) && number < static_cast<uint64_t>(time(nullptr)) + 60 ? "yes" : "no");
  Say("GetFileModificationTime missing", fs->GetFileModificationTime(At("missing"), io, &number, nullptr));

  std::vector<std::string> children;
  Say("GetChildren", fs->GetChildren(At("dir"), io, &children, nullptr));
  children.erase(std::remove_if(children.begin(), children.end(), [](auto& name) { return name == "." || name == ".."; }), children.end());
  std::sort(children.begin(), children.end());
  for (const std::string& name : children) Say("child", name);
  Say("GetChildren missing", fs->GetChildren(At("missing"), io, &children, nullptr));
  Say("GetChildren of a file", fs->GetChildren(At("dir/file"), io, &children, nullptr));
  std::vector<FileAttributes> attributes;
  Say("GetChildrenFileAttributes", fs->GetChildrenFileAttributes(At("dir"), io, &attributes, nullptr));
  for (const FileAttributes& child : attributes) {
    if (child.name == "file") Say("child " + child.name, std::to_string(child.size_bytes));
  }
  Say("GetChildrenFileAttributes missing", fs->GetChildrenFileAttributes(At("missing"), io, &attributes, nullptr));

  Say("LinkFile", fs->LinkFile(At("dir/file"), At("dir/link"), io, nullptr));
  Say("LinkFile over a file", fs->LinkFile(At("dir/file"), At("dir/link"), io, nullptr));
  Say("LinkFile missing", fs->LinkFile(At("missing"), At("dir/link2"), io, nullptr));
  SayValue("NumFileLinks", fs->NumFileLinks(At("dir/file"), io, &number, nullptr), number);
  Say("NumFileLinks missing", fs->NumFileLinks(At("missing"), io, &number, nullptr));
  bool same = false;
  SayWhether("AreFilesSame link", fs->AreFilesSame(At("dir/file"), At("dir/link"), io, &same, nullptr), same);
  Write("dir/equal", "content");
  SayWhether("AreFilesSame other", fs->AreFilesSame(At("dir/file"), At("dir/equal"), io, &same, nullptr), same);
  Say("AreFilesSame missing", fs->AreFilesSame(At("dir/file"), At("missing"), io, &same, nullptr));
  Say("DeleteFile of a link", fs->DeleteFile(At("dir/link"), io, nullptr));
  SayValue("NumFileLinks", fs->NumFileLinks(At("dir/file"), io, &number, nullptr), number);

  Say("RenameFile", fs->RenameFile(At("dir/file"), At("dir/renamed"), io, nullptr));
  Say("renamed", Contents("dir/renamed"));
  Write("dir/target", "target");
  Say("RenameFile over a file", fs->RenameFile(At("dir/renamed"), At("dir/target"), io, nullptr));
  Say("replaced", Contents("dir/target"));
  Say("RenameFile missing", fs->RenameFile(At("missing"), At("dir/target"), io, nullptr));
  Say("RenameFile nowhere", fs->RenameFile(At("dir/target"), At("missing/x"), io, nullptr));
  Say("RenameFile over a directory", fs->RenameFile(At("dir/target"), At("dir/sub"), io, nullptr));
  Say("RenameFile of a directory", fs->RenameFile(At("dir/sub"), At("dir/sub2"), io, nullptr));

  Say("Truncate by name", fs->Truncate(At("dir/target"), 3, io, nullptr));
  Say("truncated by name", Contents("dir/target"));
  Say("Truncate up", fs->Truncate(At("dir/target"), 6, io, nullptr));
  Say("zeros", Contents("dir/target"));
  Say("Truncate missing", fs->Truncate(At("missing"), 3, io, nullptr));

  Say("DeleteFile missing", fs->DeleteFile(At("missing"), io, nullptr));
  Say("DeleteFile of a directory", fs->DeleteFile(At("dir"), io, nullptr));
  Say("DeleteDir of a file", fs->DeleteDir(At("dir/target"), io, nullptr));
  Say("DeleteDir not empty", fs->DeleteDir(At("dir"), io, nullptr));
  Say("DeleteDir missing", fs->DeleteDir(At("missing"), io, nullptr));
  Say("DeleteDir", fs->DeleteDir(At("dir/sub2"), io, nullptr));

  Say("long name", fs->FileExists(At(std::string(300, 'n')), io, nullptr));
  Write("spaces and \xff bytes", "x");
  Say("a name of any bytes", Contents("spaces and \xff bytes"));
}

void Directories() {
  std::unique_ptr<FSDirectory> directory;
  Say("NewDirectory missing", fs->NewDirectory(At("missing"), io, &directory, nullptr));
  Say("NewDirectory of a file", fs->NewDirectory(At("w"), io, &directory, nullptr));
  Say("NewDirectory", fs->NewDirectory(root, io, &directory, nullptr));
  Say("Fsync", directory->Fsync(io, nullptr));
  Say("FsyncWithDirOptions", directory->FsyncWithDirOptions(io, nullptr, DirFsyncOptions(At("w"))));
  char id[64];
  Say("GetUniqueId of a directory", directory->GetUniqueId(id, 64) > 0 ? "some" : "none");
  Say("Close", directory->Close(io, nullptr));
}

void Locks() {
  FileLock* lock = nullptr;
  FileLock* second = nullptr;
  Say("LockFile", fs->LockFile(At("LOCK"), io, &lock, nullptr));
  Say("the file is made", fs->FileExists(At("LOCK"), io, nullptr));
  Say("LockFile again", fs->LockFile(At("LOCK"), io, &second, nullptr));
  Say("no lock", second == nullptr ? "null" : "a lock");
  Say("UnlockFile", fs->UnlockFile(lock, io, nullptr));
  Say("LockFile when free", fs->LockFile(At("LOCK"), io, &lock, nullptr));
  Say("UnlockFile", fs->UnlockFile(lock, io, nullptr));
  Say("LockFile nowhere", fs->LockFile(At("missing/LOCK"), io, &lock, nullptr));
  Say("no lock", lock == nullptr ? "null" : "a lock");
}

void Rest() {
  uint64_t space = 0;
  Say("GetFreeSpace", fs->GetFreeSpace(root, io, &space, nullptr));
  Say("there is some", space > (1 << 20) ? "yes" : "no");
  std::string path;
  Say("GetAbsolutePath", fs->GetAbsolutePath(At("x"), io, &path, nullptr));
  Say("it stays", path == At("x") ? "yes" : "no");
  Say("GetTestDirectory", fs->GetTestDirectory(io, &path, nullptr));
  std::shared_ptr<Logger> logger;
  Say("NewLogger", fs->NewLogger(At("LOG"), io, &logger, nullptr));
  Log(InfoLogLevel::ERROR_LEVEL, logger, "a line of %d words", 5);
  logger->Flush();
  std::string text;
  Say("the log", ReadFileToString(fs.get(), At("LOG"), &text));
  Say("the line", text.find("a line of 5 words") != std::string::npos ? "is there" : "is not there");
  Say("Close", logger->Close());
  Say("RegisterDbPaths", fs->RegisterDbPaths({root}));
  Say("UnregisterDbPaths", fs->UnregisterDbPaths({root}));
  std::vector<void*> none;
  Say("Poll", fs->Poll(none, 0));
  Say("AbortIO", fs->AbortIO(none));
}

void EveryMethod(const std::shared_ptr<FileSystem>& of, const char* below, FILE* to) {
  std::setvbuf(to, nullptr, _IOLBF, 1 << 12);
  fs = of;
  root = below;
  answers = to;
  SequentialFiles();
  RandomAccessFiles(false);
  RandomAccessFiles(true);
  WritableFiles();
  RandomRWFiles();
  Names();
  Directories();
  Locks();
  Rest();
}

}  // namespace

#ifndef DAXCOW_CONTRACT_IS_PART
int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  EveryMethod(FileSystem::Default(), argv[1], stdout);
  return 0;
}
#endif
