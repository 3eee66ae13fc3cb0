// SPDX-License-Identifier: Apache-2.0
// Messages are a little-endian 64-bit number, some with a descriptor: version, the guest's id, -1
// with the memory, then a peer's id with an eventfd for each of its vectors.
#include "emu/ivshmem.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "emu/unix_socket.h"

namespace sluice::emu {
namespace {

constexpr int64_t kVersion = 0;
constexpr int64_t kMemory = -1;

}  // namespace

Result<IvshmemServer> IvshmemServer::listen(const std::string& path) {
  SLUICE_TRY(const sockaddr_un address, unix_address(path));
  const sockaddr* generic = generic_address(address);
  // Nobody answers at a file that a dead server has left behind.
  if (const Fd probe = unix_socket(); ::connect(probe.get(), generic, sizeof(address)) == 0) {
    return fail(EADDRINUSE, path + ": somebody serves this socket");
  } else if (errno == ECONNREFUSED) {
    ::unlink(path.c_str());
  }
  Fd listening = unix_socket();
  if (!listening) return fail_errno(errno, path, "make a socket");
  if (::bind(listening.get(), generic, sizeof(address)) != 0 || ::listen(listening.get(), 4) != 0) {
    return fail_errno(errno, path, "listen");
  }
  return IvshmemServer(path, std::move(listening));
}

IvshmemServer::~IvshmemServer() {
  if (listening_) ::unlink(path_.c_str());
}

Result<void> IvshmemServer::send(const Fd& guest, int64_t number, int fd) const {
  iovec part = {&number, sizeof(number)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
  }
  ssize_t n;
  do {
    n = ::sendmsg(guest.get(), &message, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n != sizeof(number)) return fail_errno(n < 0 ? errno : EIO, path_, "greet a guest");
  return {};
}

Result<void> IvshmemServer::accept(const Fd& memory, int doorbell, const std::vector<Fd>& vectors) {
  Fd guest(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!guest) return fail_errno(errno, path_, "accept a guest");
  if (guest_) return fail(EBUSY, path_ + ": a second guest was turned away");
  SLUICE_CHECK(send(guest, kVersion, -1));
  SLUICE_CHECK(send(guest, kGuestId, -1));
  SLUICE_CHECK(send(guest, kMemory, memory.get()));
  SLUICE_CHECK(send(guest, kOwnId, doorbell));
  for (const Fd& vector : vectors) SLUICE_CHECK(send(guest, kGuestId, vector.get()));
  guest_ = std::move(guest);
  return {};
}

bool IvshmemServer::guest_is_there() {
  char ignored[64];
  const ssize_t n = ::recv(guest_.get(), ignored, sizeof(ignored), MSG_DONTWAIT);
  const bool there = n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
  if (!there) guest_.reset();
  return there;
}

}  // namespace sluice::emu
