// A chain as it is kept in memory: geometry, tables of offsets, packed weights.
#ifndef EDGEWISE_CHAIN_H
#define EDGEWISE_CHAIN_H

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "edgewise_kernels.h"
#include "variant.h"

namespace ew {

constexpr int kChunk = 64;    // pixels of a task that computes outputs from windows, at most
constexpr int kLeastTasks = 8;  // that a step has where its map allows: the same for any number of threads
constexpr int kScatterGroup = 160 << 10;  // bytes of weights that all positions take before the next ones, about; tap by tap
constexpr int kRowGroup = 40 << 10;       // the same where the three taps of a row are taken at once: each row fits the nearest cache
constexpr int kStripBytes = 40 << 10;   // of sums that positions add to, at most about: they stay in the nearest caches
constexpr int kNear = 1 << 18;   // bytes of weights that stay in the second-level cache from run to run, about
constexpr int kLine = 16;     // floats of a cache line

// How weights come to windows: groups of so many bytes, about, that all pixels of a task take before the next ones.
struct Grouping {
  int bytes;
  bool nearest;  // two groups fit the nearest cache, so that the next one is fetched into it
};
Grouping grouping();

struct Free {
  void operator()(void *memory) const { std::free(memory); }
};
using Floats = std::unique_ptr<float[], Free>;
Floats make_floats(size_t count);  // zeroed, at the start of a cache line; throws std::bad_alloc

// A map in memory: rows of pixels of channels, with a frame of zeros.
struct Map {
  int channels = 0, height = 0, width = 0;
  int pad_h = 0, pad_w = 0;
  int pitch = 0;       // floats from pixel to pixel
  int64_t row = 0;     // floats from row to row
  int64_t size = 0;    // floats
  int readers = 0;
  int slot = -1;       // which buffer holds it
  bool channel_sums = false, position_sums = false;  // that its writer leaves for the gate behind it
  int chunks = 1, blocks = 1;                        // partial sums that its writer leaves
  std::vector<int32_t> at;                           // offset of each pixel, row by row
  int pixels() const { return height * width; }
  int64_t inside() const { return pad_h * row + static_cast<int64_t>(pad_w) * pitch; }
  int64_t offset(int y, int x) const { return inside() + y * row + static_cast<int64_t>(x) * pitch; }
};

// Output channels computed together, and where their weights begin.
struct Block {
  int first = 0, vectors = 1;
  int64_t weights = 0;
};

struct Step {
  int kind, source, residual, out_channels, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
  int relu, pool, kept_channels, kept_positions, path, before;
  bool channel_gate = false, position_gate = false, tuned = false;
  bool shared = false;  // others read the map that its gate prunes
  int out_h = 0, out_w = 0;  // before pooling
  std::vector<Block> blocks;
  Floats weights, bias;
  int64_t bytes = 0;
  int wide = 0;  // floats of a row of weights: of the widest block
  std::vector<int32_t> x_at, out_at, residual_at;  // in the order of tiles: pooled windows lie together
  std::vector<int32_t> sum_at;                     // the same pixels in the grid of sums
  std::vector<int32_t> tap_at;                     // offset of each tap in a window
  std::vector<Entry> dense;                        // all channels of all taps
  std::vector<int32_t> grid_at, row_of;            // of each position: its place in the grid of sums, its row
  bool fetched = false;                            // weights come from beyond the second-level cache
  int margin = 0, grid_w = 0, strip_rows = 1;      // of the grid of sums
  bool whole_rows = false;                         // kept positions take the three taps of a row at once
  int chunk = kChunk;                              // pixels of a task
  bool gated() const { return channel_gate || position_gate; }
  bool prunes() const { return position_gate ? path != EW_SCATTER : channel_gate && path == EW_DENSE; }  // zeros in memory, not lists alone
  int taps() const { return kernel_h * kernel_w; }
  int n_pixels() const { return static_cast<int>(x_at.size()); }
  int n_chunks() const { return (n_pixels() + chunk - 1) / chunk; }
  int n_strips() const;
};

struct Workspace;

// Reads and checks a description; throws std::invalid_argument with the rule that is broken.
void read_program(const int32_t *program, int n_ints, ew_chain &chain);
// Packs the weights of every convolution and fills the tables.
void prepare(ew_chain &chain, const float *const *weights, const float *const *biases);
void run(ew_chain &chain, const float *input, float *output, int batch, const ew_host *host, uint8_t *const *masks, double *step_s);

}  // namespace ew

struct ew_chain {
  const ew::Variant *variant = nullptr;
  int layout = 0;
  int n_slots = 0;
  std::vector<int64_t> slot_sizes;
  int64_t pruned_size = 0;  // of the largest map that is pruned for one reader and whole for others
  std::vector<ew::Map> maps;
  std::vector<ew::Step> steps;
  std::mutex mutex;
  std::vector<std::unique_ptr<ew::Workspace>> idle;
  ew_chain();
  ~ew_chain();
};
#endif
