// Weights in the order in which the kernels read them, and tables of offsets.
#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "chain.h"

namespace ew {
namespace {

constexpr size_t kHuge = size_t{1} << 21;

}  // namespace

Floats make_floats(size_t count) {
  const size_t line = count * sizeof(float) >= kHuge ? kHuge : 64;
  const size_t bytes = std::max((count * sizeof(float) + line - 1) / line * line, line);
  void *memory = std::aligned_alloc(line, bytes);
  if (!memory) throw std::bad_alloc();
#ifdef __linux__
  if (line == kHuge) madvise(memory, bytes, MADV_HUGEPAGE);  // a wish: rows picked here and there miss fewer translations
#endif
  std::memset(memory, 0, bytes);
  return Floats(static_cast<float *>(memory));
}

int Step::n_strips() const { return ((pool ? out_h / 2 * 2 : out_h) + strip_rows - 1) / strip_rows; }

namespace {

void pack(Step &s, int in_channels, const Variant &variant, const float *weights, const float *bias) {
  const int taps = s.taps(), lanes = variant.lanes;
  const int vectors = (s.out_channels + lanes - 1) / lanes, blocks = (vectors + variant.most_vectors - 1) / variant.most_vectors;
  const int64_t rows = static_cast<int64_t>(taps) * in_channels;
  s.wide = (vectors + blocks - 1) / blocks * lanes;
  int64_t size = 0;
  for (int i = 0, first = 0; i < blocks; i++) {
    Block block;
    block.first = first * lanes;
    block.vectors = vectors * (i + 1) / blocks - first;
    block.weights = size;
    first += block.vectors;
    size += rows * s.wide;
    s.blocks.push_back(block);
  }
  if (rows * s.wide > INT32_MAX) throw std::invalid_argument("a convolution of a chain must have fewer than 2^31 weights for 64 outputs");
  s.weights = make_floats(size);
  s.bias = make_floats(static_cast<size_t>(vectors) * lanes);
  s.bytes = size * static_cast<int64_t>(sizeof(float));
  std::copy(bias, bias + s.out_channels, s.bias.get());
  for (const Block &block : s.blocks) {
    const int there = std::min(block.vectors * lanes, s.out_channels - block.first);
    for (int tap = 0; tap < taps; tap++)
      for (int c = 0; c < in_channels; c++) {
        float *to = s.weights.get() + block.weights + (static_cast<int64_t>(c) * taps + tap) * s.wide;
        for (int o = 0; o < there; o++) to[o] = weights[(static_cast<int64_t>(block.first + o) * in_channels + c) * taps + tap];
      }
  }
}

void fill_tables(Step &s, ew_chain &chain, Map &out) {
  const Map &in = chain.maps[s.source];
  const Map *add = s.residual >= 0 ? &chain.maps[s.residual] : nullptr;
  s.margin = s.stride_h == 1 && s.stride_w == 1 ? std::max(s.pad_w, (s.kernel_w - 1) * s.dilation_w - s.pad_w) : 0;
  s.grid_w = s.out_w + 2 * s.margin;
  const int n_blocks = static_cast<int>(s.blocks.size()), shares = (kLeastTasks + n_blocks - 1) / n_blocks;
  const int share = (s.out_h * s.out_w + shares - 1) / shares;
  s.chunk = std::clamp((share + 7) / 8 * 8, 16, kChunk);
  const int most = std::max(32, kStripBytes / (s.wide * static_cast<int>(sizeof(float))));
  s.strip_rows = std::max(1, std::clamp(2 * share, 32, most) / s.out_w);  // many positions in each, for full tiles
  if (s.pool) s.strip_rows = (s.strip_rows + 1) / 2 * 2;
  const auto put = [&](int y, int x) {
    // The window may begin in the frame of a map that others pad more.
    s.x_at.push_back(static_cast<int32_t>(in.offset(y * s.stride_h - s.pad_h, x * s.stride_w - s.pad_w)));
    s.sum_at.push_back(y * s.grid_w + x + s.margin);
    if (add) s.residual_at.push_back(static_cast<int32_t>(add->offset(y, x)));
  };
  s.fetched = s.bytes > kNear;
  // Worth it where taps of one column do not lie side by side in what is read, or all of a row stays in the nearest cache.
  const int64_t row_bytes = static_cast<int64_t>(in.channels) * 3 * s.wide * static_cast<int64_t>(sizeof(float));
  s.whole_rows = s.kernel_w == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_w == 1 && (s.channel_gate || row_bytes <= kRowGroup / 2);
  for (int i = 0; i < in.pixels(); i++) {
    s.row_of.push_back(i / in.width);
    s.grid_at.push_back(i / in.width * s.grid_w + i % in.width);
  }
  const int step = s.pool ? 2 : 1;
  for (int y = 0; y + step <= s.out_h; y += step)
    for (int x = 0; x + step <= s.out_w; x += step) {
      s.out_at.push_back(static_cast<int32_t>(out.offset(y / step, x / step)));
      for (int dy = 0; dy < step; dy++)
        for (int dx = 0; dx < step; dx++) put(y + dy, x + dx);
    }
  for (int ky = 0; ky < s.kernel_h; ky++)
    for (int kx = 0; kx < s.kernel_w; kx++)
      s.tap_at.push_back(static_cast<int32_t>(ky * s.dilation_h * in.row + static_cast<int64_t>(kx) * s.dilation_w * in.pitch));
  for (int c = 0; c < in.channels; c++)
    for (int tap = 0; tap < s.taps(); tap++) s.dense.push_back({s.tap_at[tap] + c, (c * s.taps() + tap) * s.wide});
  for (int i = 0; i < kAhead; i++) s.dense.push_back(s.dense.back());
  out.chunks = std::max(s.n_chunks(), s.n_strips());
  out.blocks = static_cast<int>(s.blocks.size());
}

}  // namespace

void prepare(ew_chain &chain, const float *const *weights, const float *const *biases) {
  int conv = 0;
  for (size_t i = 0; i < chain.steps.size(); i++) {
    Step &s = chain.steps[i];
    if (s.kind != EW_CONV) continue;
    pack(s, chain.maps[s.source].channels, *chain.variant, weights[conv], biases[conv]);
    fill_tables(s, chain, chain.maps[i + 1]);
    conv++;
    s.tuned = s.path != EW_AUTO || !s.gated();
    if (s.path == EW_AUTO) s.path = !s.gated() ? EW_DENSE : s.position_gate ? EW_SCATTER : EW_CHANNELS;
  }
}

}  // namespace ew
