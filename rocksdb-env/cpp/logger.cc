#include "logger.h"

#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <string>

namespace daxcow {

namespace {

// Date, time and thread, as the posix FileSystem has them.
std::string Stamp() {
  timeval now;
  gettimeofday(&now, nullptr);
  tm local;
  localtime_r(&now.tv_sec, &local);
  thread_local const long thread = syscall(SYS_gettid);
  char stamp[80];
  const int len = std::snprintf(stamp, sizeof stamp, "%04d/%02d/%02d-%02d:%02d:%02d.%06d %ld ", local.tm_year + 1900,
                                local.tm_mon + 1, local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec,
                                static_cast<int>(now.tv_usec), thread);
  return std::string(stamp, static_cast<size_t>(len));
}

}  // namespace

void PoolLogger::Logv(const char* format, va_list arguments) {
  va_list measured;
  va_copy(measured, arguments);
  const int len = std::vsnprintf(nullptr, 0, format, measured);
  va_end(measured);
  if (len < 0) {
    return;
  }
  std::string line = Stamp();
  const size_t start = line.size();
  // One more for the terminator, where the end of the line goes.
  line.resize(start + static_cast<size_t>(len) + 1);
  std::vsnprintf(&line[start], static_cast<size_t>(len) + 1, format, arguments);
  line.back() = '\n';
  if (len > 0 && line[line.size() - 2] == '\n') {
    line.pop_back();
  }
  if (!Error(daxcow_file_append(file_.get(), line.data(), line.size()))) {
    size_.fetch_add(line.size(), std::memory_order_relaxed);
  }
}

}  // namespace daxcow
