#include "writers.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace daxcow {

namespace {

// What is reserved at once: two of the chunks that the pool hands out in one piece.
constexpr uint64_t kRun = 4 << 20;

}  // namespace

IOStatus PoolWritableFile::Closed() const {
  return StatusOf(EBADF, "While writing to a closed file", name_, std::strerror(EBADF));
}

IOStatus PoolWritableFile::Append(const Slice& data, const IOOptions&, IODebugContext*) {
  if (!file_) {
    return Closed();
  }
  daxcow_error* error = start_ == Start::kAtEnd
                            ? daxcow_file_append(file_.get(), data.data(), data.size())
                            : daxcow_file_write(file_.get(), size_, data.data(), data.size());
  if (error == nullptr) {
    size_ += data.size();
    return IOStatus::OK();
  }
  return Done(error, "While appending to file", name_);
}

IOStatus PoolWritableFile::PositionedAppend(const Slice& data, uint64_t offset, const IOOptions&,
                                            IODebugContext*) {
  if (!file_) {
    return Closed();
  }
  daxcow_error* error = daxcow_file_write(file_.get(), offset, data.data(), data.size());
  if (error == nullptr) {
    size_ = offset + data.size();
    return IOStatus::OK();
  }
  return Done(error, "While writing at an offset of file", name_);
}

IOStatus PoolWritableFile::Truncate(uint64_t size, const IOOptions&, IODebugContext*) {
  if (!file_) {
    return Closed();
  }
  daxcow_error* error = daxcow_file_set_size(file_.get(), size);
  if (error == nullptr) {
    size_ = size;
    reserved_ = size;
    start_ = Start::kAtEnd;
  }
  return Done(error, "While truncating file", name_);
}

IOStatus PoolWritableFile::Finish() {
  if (!file_) {
    return IOStatus::OK();
  }
  daxcow_error* error = reserved_ > size_ ? daxcow_file_set_size(file_.get(), size_) : nullptr;
  file_.reset();
  return Done(error, "While closing file after writing", name_);
}

IOStatus PoolWritableFile::Sync(const IOOptions&, IODebugContext*) {
  if (!file_) {
    return Closed();
  }
  return Done(daxcow_file_sync(file_.get()), "While syncing file", name_);
}

void PoolWritableFile::PrepareWrite(size_t offset, size_t len, const IOOptions& options, IODebugContext* dbg) {
  const uint64_t end = static_cast<uint64_t>(offset) + len;
  if (preallocation_block_size() == 0 || end <= reserved_) {
    return;
  }
  const uint64_t run = std::min<uint64_t>(preallocation_block_size(), kRun);
  const uint64_t from = std::max<uint64_t>(reserved_, size_);
  const uint64_t to = (end + run - 1) / run * run;
  Allocate(from, to - from, options, dbg).PermitUncheckedError();
  reserved_ = to;
}

void PoolWritableFile::GetPreallocationStatus(size_t* block_size, size_t* last_allocated_block) {
  *block_size = preallocation_block_size();
  *last_allocated_block = *block_size == 0 ? 0 : static_cast<size_t>((reserved_ + *block_size - 1) / *block_size);
}

IOStatus PoolWritableFile::Allocate(uint64_t offset, uint64_t len, const IOOptions&, IODebugContext*) {
  if (!file_) {
    return Closed();
  }
  reserved_ = std::max(reserved_, offset + len);
  return Done(daxcow_file_allocate(file_.get(), offset, len), "While allocating for file", name_);
}

IOStatus PoolManifestFile::Append(const Slice& data, const IOOptions&, IODebugContext*) {
  if (!file_) {
    return Closed();
  }
  held_.append(data.data(), data.size());
  size_ += data.size();
  return IOStatus::OK();
}

IOStatus PoolManifestFile::Write() {
  if (!file_ || held_.empty()) {
    return IOStatus::OK();
  }
  daxcow_error* error = daxcow_file_append_atomically(file_.get(), held_.data(), held_.size());
  if (error == nullptr) {
    held_.clear();
  }
  return Done(error, "While appending to file", name_);
}

IOStatus PoolManifestFile::Truncate(uint64_t size, const IOOptions& options, IODebugContext* dbg) {
  IOStatus status = Write();
  return status.ok() ? PoolWritableFile::Truncate(size, options, dbg) : status;
}

IOStatus PoolManifestFile::Close(const IOOptions& options, IODebugContext* dbg) {
  IOStatus status = Write();
  IOStatus closed = PoolWritableFile::Close(options, dbg);
  return status.ok() ? closed : status;
}

IOStatus PoolManifestFile::Sync(const IOOptions& options, IODebugContext* dbg) {
  IOStatus status = Write();
  return status.ok() ? PoolWritableFile::Sync(options, dbg) : status;
}

IOStatus PoolRandomRWFile::Closed() const {
  return StatusOf(EBADF, "While using a closed file", name_, std::strerror(EBADF));
}

IOStatus PoolRandomRWFile::Write(uint64_t offset, const Slice& data, const IOOptions&, IODebugContext*) {
  if (!file_) {
    return Closed();
  }
  return Done(daxcow_file_write(file_.get(), offset, data.data(), data.size()), "While writing at an offset of file",
              name_);
}

IOStatus PoolRandomRWFile::Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                                IODebugContext*) const {
  *result = Slice();
  if (!file_) {
    return Closed();
  }
  size_t done = 0;
  daxcow_error* error = daxcow_file_read(file_.get(), offset, scratch, n, &done);
  *result = Slice(scratch, done);
  return Done(error, "While reading at an offset of file", name_);
}

IOStatus PoolRandomRWFile::Sync(const IOOptions&, IODebugContext*) {
  if (!file_) {
    return Closed();
  }
  return Done(daxcow_file_sync(file_.get()), "While syncing file", name_);
}

IOStatus PoolRandomRWFile::Close(const IOOptions&, IODebugContext*) {
  file_.reset();
  return IOStatus::OK();
}

}  // namespace daxcow
