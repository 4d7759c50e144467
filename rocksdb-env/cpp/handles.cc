#include "handles.h"

#include <cerrno>
#include <cstring>

namespace daxcow {

using rocksdb::IOStatus;

IOStatus StatusOf(int code, const std::string& doing, const std::string& name, const char* message) {
  const std::string what = doing + ": " + name;
  switch (code) {
    case ENOSPC: {
      IOStatus status = IOStatus::NoSpace(what, message);
      status.SetRetryable(true);
      return status;
    }
    case ENOENT:
      return IOStatus::PathNotFound(what, message);
    case EOPNOTSUPP:
      return IOStatus::NotSupported(what, message);
    case EUCLEAN: {
      IOStatus status = IOStatus::Corruption(what, message);
      status.SetDataLoss(true);
      return status;
    }
    default:
      return IOStatus::IOError(what, message);
  }
}

IOStatus Failed(const Error& error, const std::string& doing, const std::string& name) {
  return StatusOf(Code(error), doing, name, daxcow_error_message(error.get()));
}

Place::Place(const std::string& path) {
  daxcow_place* place = nullptr;
  status_ = Done(daxcow_place_find(Text(path), &place), "While opening the pool of", path);
  place_.reset(place);
}

}  // namespace daxcow
