// RocksDB's info log.
#pragma once

#include <atomic>
#include <cstdarg>

#include "handles.h"
#include "rocksdb/env.h"

namespace daxcow {

// Writes lines like those of the posix FileSystem's logger. A line that finds no space, or a pool that cannot be written any
// more, is dropped, as there: RocksDB's own logger for any FileSystem takes a write after a failed one for a mistake, and in
// builds with assertions ends the process.
class PoolLogger : public rocksdb::Logger {
 public:
  // Says only errors until it is told otherwise, as the posix one.
  explicit PoolLogger(FilePtr file) : Logger(rocksdb::InfoLogLevel::ERROR_LEVEL), file_(std::move(file)) {}
  ~PoolLogger() override { Close().PermitUncheckedError(); }

  using Logger::Logv;
  void Logv(const char* format, va_list arguments) override;
  size_t GetLogFileSize() const override { return size_.load(std::memory_order_relaxed); }

 protected:
  rocksdb::Status CloseImpl() override { return rocksdb::Status::OK(); }

 private:
  const FilePtr file_;
  std::atomic<size_t> size_{0};
};

}  // namespace daxcow
