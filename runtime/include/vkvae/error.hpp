// Errors: one exception type with a status, and require(), which writes its parts into the message.
// Inside the library failures are exceptions; the C ABI and the tool turn Status into codes.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace vkvae {

// The numbers are the exit codes of the command line tool.
enum class Status : int { ok = 0, runtime = 1, usage = 2, device = 3, data = 4, interrupted = 130 };

class Error : public std::runtime_error {
  public:
    Error(Status status, const std::string& message) : std::runtime_error(message), status_(status) {}
    Status status() const { return status_; }

  private:
    Status status_;
};

template <class... Parts> std::string concat_text(const Parts&... parts) {
    std::ostringstream out;
    (out << ... << parts);
    return out.str();
}

template <class... Parts> [[noreturn]] void fail(Status status, const Parts&... parts) {
    throw Error(status, concat_text(parts...));
}

// Programming or configuration error: the caller broke the contract that the parts describe.
template <class... Parts> void require(bool ok, const Parts&... parts) {
    if (!ok) [[unlikely]]
        fail(Status::runtime, parts...);
}

// Untrusted bytes (models, data sets, images, JSON) that do not hold what they claim.
template <class... Parts> void require_data(bool ok, const Parts&... parts) {
    if (!ok) [[unlikely]]
        fail(Status::data, parts...);
}

} // namespace vkvae
