// SPDX-License-Identifier: Apache-2.0
// matmul: rows of weights are handed out in pieces, so that a thread that is held up does less.
#include <algorithm>

#include "core/cpu.h"
#include "core/thread_pool.h"
#include "ops/op.h"
#include "quant/format.h"

namespace sluice {
namespace {

// Of a piece's rows: kernels like whole sixteens, and those for many columns read the columns for
// each 64.
constexpr uint32_t kRowGranule = 16, kManyRowGranule = 64, kManyColumns = 16;
constexpr uint64_t kBytesWorth = 32 * 1024;   // weights that are worth a thread's trouble
constexpr uint64_t kPieceBytes = 256 * 1024;  // stay in a core's own cache while columns go by

// Rows in a piece.
uint32_t piece_rows(const Operands& o, const RunContext& c) {
  const Tensor& w = *o.src[0];
  const uint32_t granule = c.n_rows(*o.src[1]) < kManyColumns ? kRowGranule : kManyRowGranule;
  const uint64_t granules = (uint64_t{w.desc.shape[1]} + granule - 1) / granule;
  const uint64_t bytes = granules * granule * w.row_stride();
  const uint64_t pieces =
      std::max<uint64_t>({1, count_pieces(bytes, kBytesWorth, c.n_threads), bytes / kPieceBytes,
                          granules / ThreadPool::kMostPieces + 1});
  return static_cast<uint32_t>(std::max<uint64_t>(1, (granules + pieces - 1) / pieces)) * granule;
}

MatmulArgs make_args(const Operands& o, const RunContext& c) {
  const Tensor &y = *o.dst, &w = *o.src[0], &x = *o.src[1];
  MatmulArgs args{};
  args.w = w.data;
  args.w_stride = w.row_stride();
  args.x = x.data;
  args.x_stride = x.row_stride();
  args.y = y.data;
  args.y_stride = y.row_stride();
  args.k = w.desc.shape[0];
  args.n = c.n_rows(x);
  args.add = (o.command->flags & SLUICE_SDI_FLAG_ADD) != 0;
  if (o.command->flags & SLUICE_SDI_FLAG_FAST) {
    const Format* format = find_format(w.desc.type);
    args.format = format->id;
    args.decode = format->decode;
    args.w_bytes256 = format->bytes(kA8KBlock);
  }
  args.ahead = read_ahead();
  args.packed = c.packed;
  args.scratch = reinterpret_cast<std::byte*>(c.scratch);
  return args;
}

uint32_t pack_pieces(const Operands& o, const RunContext& c) {
  const uint32_t n = c.n_rows(*o.src[1]);
  return n == 0 ? 0 : c.matmul->packing->pieces(n);
}

void run_pack(const Operands& o, const RunContext& c, const Piece& piece) {
  c.matmul->packing->pack(make_args(o, c), piece.index);
}

uint32_t matmul_pieces(const Operands& o, const RunContext& c) {
  if (c.n_rows(*o.src[1]) == 0) return 0;
  const uint32_t rows = piece_rows(o, c);
  return (o.src[0]->desc.shape[1] + rows - 1) / rows;
}

void run_matmul(const Operands& o, const RunContext& c, const Piece& piece) {
  const uint32_t rows = piece_rows(o, c);
  const uint64_t first = uint64_t{piece.index} * rows;
  const uint64_t end = std::min<uint64_t>(first + rows, o.src[0]->desc.shape[1]);
  c.matmul->compute(make_args(o, c), static_cast<uint32_t>(first), static_cast<uint32_t>(end));
}

}  // namespace

Result<void> check_matmul(const Operands& o) {
  const TensorDesc &y = o.dst->desc, &w = o.src[0]->desc, &x = o.src[1]->desc;
  SLUICE_CHECK(expect_f32(*o.dst, "an f32 destination"));
  SLUICE_CHECK(expect(w.rank == 2 && w.rows == SLUICE_SDI_ROWS_FIXED, "weights [K, M]"));
  const Format* format = find_format(w.type);
  SLUICE_CHECK(expect(format && format->decode, "weights of a weight format"));
  if ((o.command->flags & SLUICE_SDI_FLAG_FAST) && format->block_size > 1) {
    SLUICE_CHECK(expect(x.type == SLUICE_SDI_TYPE_A8K, "activations in blocks of 256 values"));
  } else {
    SLUICE_CHECK(expect(x.type == format->activation, "activations of the weights' kind"));
  }
  SLUICE_CHECK(expect(x.rank == 2 && x.shape[0] == w.shape[0], "activations [K, N]"));
  return expect(
      y.rank == 2 && y.rows == x.rows && y.shape[0] == w.shape[1] && y.shape[1] == x.shape[1],
      "a destination [M, N]");
}

const OpCode kPackCode = {pack_pieces, run_pack};
const OpCode kMatmulCode = {matmul_pieces, run_matmul};

}  // namespace sluice
