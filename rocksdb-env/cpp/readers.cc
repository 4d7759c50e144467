#include "readers.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace daxcow {

namespace {

// Hands what keeps a result alive to RocksDB, where it has a place for that; says whether it has.
template <class Request>
auto Keep(Request* request, std::shared_ptr<void> owner, int) -> decltype(request->fs_scratch, bool()) {
  void* const object = owner.get();
  request->fs_scratch = {object, [owner = std::move(owner)](void*) {}};
  return true;
}
template <class Request>
bool Keep(Request*, const std::shared_ptr<void>&, ...) {
  return false;
}

// The SubmitReadAsync of a RocksDB that has one; no other calls ours.
template <typename File, typename... Rest>
auto SubmitBelow(File* below, FSReadRequest& request, Rest&&... rest)
    -> decltype(below->SubmitReadAsync(request, std::forward<Rest>(rest)...)) {
  return below->SubmitReadAsync(request, std::forward<Rest>(rest)...);
}
template <typename... Ignored>
bool SubmitBelow(void*, FSReadRequest&, Ignored&&...) {
  return false;
}

std::shared_ptr<char> NewBuffer(size_t len) { return {new char[len], std::default_delete<char[]>()}; }

bool GiveBuffer(FSReadRequest* request) {
  if (request->scratch != nullptr) {
    return false;
  }
  const std::shared_ptr<char> buffer = NewBuffer(request->len);
  request->scratch = buffer.get();
  return Keep(request, buffer, 0);
}

// A file of the host whose FileSystem answers no requests without a buffer, as that of the pools beside it does.
class BufferingFile : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  using FSRandomAccessFileOwnerWrapper::FSRandomAccessFileOwnerWrapper;

  IOStatus MultiRead(FSReadRequest* requests, size_t count, const IOOptions& options, IODebugContext* dbg) override {
    std::vector<FSReadRequest*> given;
    for (FSReadRequest* request = requests; request != requests + count; ++request) {
      if (GiveBuffer(request)) {
        given.push_back(request);
      }
    }
    IOStatus status = target()->MultiRead(requests, count, options, dbg);
    for (FSReadRequest* request : given) {
      request->scratch = nullptr;
    }
    return status;
  }

  // Overrides what RocksDB has since 11.8.
  bool SubmitReadAsync(FSReadRequest& request, const IOOptions& options,
                       std::function<void(FSReadRequest&)> answered, IODebugContext* dbg) {
    if (!GiveBuffer(&request)) {
      return SubmitBelow(target(), request, options, std::move(answered), dbg);
    }
    auto take_back = [answered = std::move(answered)](FSReadRequest& done) {
      done.scratch = nullptr;
      answered(done);
    };
    return SubmitBelow(target(), request, options, std::move(take_back), dbg);
  }
};

}  // namespace

IOStatus WithBuffers(IOStatus opened, std::unique_ptr<rocksdb::FSRandomAccessFile>* file) {
  FSReadRequest request;
  if (opened.ok() && Keep(&request, nullptr, 0)) {
    file->reset(new BufferingFile(std::move(*file)));
  }
  return opened;
}

size_t UniqueId(const daxcow_file* file, char* id, size_t max_size) {
  // Longer than any varint, and begun as no varint of the posix FileSystem's ids is: a device number of 2^63 or more.
  constexpr size_t kSize = 27;
  daxcow_stat stat;
  if (max_size < kSize || Error(daxcow_file_stat(file, &stat))) {
    return 0;
  }
  std::memset(id, '\xff', kSize);
  std::memcpy(id + 10, &stat.inode, sizeof stat.inode);
  std::memcpy(id + 18, &stat.created, sizeof stat.created);
  return kSize;
}

IOStatus PoolSequentialFile::Read(size_t n, const IOOptions& options, Slice* result, char* scratch,
                                  IODebugContext* dbg) {
  IOStatus status = PositionedRead(position_, n, options, result, scratch, dbg);
  position_ += result->size();
  return status;
}

IOStatus PoolSequentialFile::PositionedRead(uint64_t offset, size_t n, const IOOptions&, Slice* result,
                                            char* scratch, IODebugContext*) {
  size_t done = 0;
  daxcow_error* error = daxcow_file_read(file_.get(), offset, scratch, n, &done);
  *result = Slice(scratch, done);
  return Done(error, "While reading file sequentially", name_);
}

IOStatus PoolSequentialFile::Skip(uint64_t n) {
  uint64_t size = 0;
  daxcow_error* error = daxcow_file_size(file_.get(), &size);
  if (error == nullptr && position_ < size) {
    position_ += std::min(n, size - position_);
  }
  return Done(error, "While skipping in file", name_);
}

IOStatus PoolRandomAccessFile::ReadInto(uint64_t offset, size_t n, char* into, Slice* result) const {
  size_t done = 0;
  daxcow_error* error = daxcow_file_read_settled(file_.get(), offset, into, n, &done);
  *result = Slice(into, done);
  return Done(error, "While reading at an offset of file", name_);
}

IOStatus PoolRandomAccessFile::Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                                    IODebugContext*) const {
  return ReadInto(offset, n, scratch, result);
}

IOStatus PoolRandomAccessFile::MultiRead(FSReadRequest* requests, size_t count, const IOOptions& options,
                                         IODebugContext* dbg) {
  for (FSReadRequest* request = requests; request != requests + count; ++request) {
    Answer(request, options, dbg);
  }
  return IOStatus::OK();
}

bool PoolRandomAccessFile::SubmitReadAsync(FSReadRequest& request, const IOOptions& options,
                                           std::function<void(FSReadRequest&)> answered, IODebugContext* dbg) {
  Answer(&request, options, dbg);
  answered(request);
  return true;
}

void PoolRandomAccessFile::Answer(FSReadRequest* request, const IOOptions& options, IODebugContext* dbg) {
  if (request->scratch == nullptr) {
    ReadInPlace(request);
  } else {
    request->status = Read(request->offset, request->len, options, &request->result, request->scratch, dbg);
  }
}

void PoolRandomAccessFile::ReadInPlace(FSReadRequest* request) {
  std::call_once(pinned_, [this] {
    daxcow_map* map = nullptr;
    // Where the file cannot be pinned, reads copy.
    if (!Error(daxcow_map_open(file_.get(), &map))) {
      pin_ = std::shared_ptr<daxcow_map>(map, Freed());
    }
  });
  const uint64_t size = pin_ == nullptr ? 0 : daxcow_map_size(pin_.get());
  const char* data = nullptr;
  if (request->offset <= size && request->len <= size - request->offset &&
      !Error(daxcow_map_find(pin_.get(), request->offset, request->len, &data)) && data != nullptr) {
    request->result = Slice(data, request->len);
    request->status = IOStatus::OK();
    Keep(request, pin_, 0);
    return;
  }
  const std::shared_ptr<char> copy = NewBuffer(request->len);
  request->status = ReadInto(request->offset, request->len, copy.get(), &request->result);
  if (!Keep(request, copy, 0)) {
    request->result = Slice();
    request->status = StatusOf(EFAULT, "While reading without a buffer from file", name_, std::strerror(EFAULT));
  }
}

IOStatus PoolRandomAccessFile::GetFileSize(uint64_t* size) {
  return Done(daxcow_file_size(file_.get(), size), "While asking for the size of file", name_);
}

IOStatus PoolMappedFile::Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                              IODebugContext*) const {
  const uint64_t size = daxcow_map_size(map_.get());
  if (offset > size) {
    *result = Slice();
    return StatusOf(EINVAL, "While reading at " + std::to_string(offset) + " of a file of " + std::to_string(size), name_,
                    std::strerror(EINVAL));
  }
  n = static_cast<size_t>(std::min<uint64_t>(n, size - offset));
  const char* data = nullptr;
  if (daxcow_error* error = daxcow_map_find(map_.get(), offset, n, &data)) {
    *result = Slice();
    return Done(error, "While reading in place from file", name_);
  }
  if (data != nullptr) {
    *result = Slice(data, n);
    return IOStatus::OK();
  }
  if (scratch != nullptr) {
    return ReadInto(offset, n, scratch, result);
  }
  std::unique_ptr<char[]> copy(new char[n]);
  IOStatus status = ReadInto(offset, n, copy.get(), result);
  std::lock_guard<std::mutex> held(mutex_);
  copies_.push_back(std::move(copy));
  return status;
}

}  // namespace daxcow
