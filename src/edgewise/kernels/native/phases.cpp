// Tasks of a run: what one thread computes at a time.
#include <algorithm>
#include <cstring>

#include "workspace.h"

namespace ew {
namespace {

constexpr int kInputRows = 16;

void clear_frame(const Map &map, float *to) {
  const int64_t top = map.pad_h * map.row, side = static_cast<int64_t>(map.pad_w) * map.pitch;
  if (top) {
    std::memset(to, 0, top * sizeof(float));
    std::memset(to + map.size - top, 0, top * sizeof(float));
  }
  if (!side) return;
  for (int y = 0; y < map.height; y++) {
    float *row = to + top + y * map.row;
    std::memset(row, 0, side * sizeof(float));
    std::memset(row + map.row - side, 0, side * sizeof(float));
  }
}

Finish finishing(const Run &run, const Step &s, const Block &block, int image, int first_pixel, int n_pixels, int part) {
  const int number = run.step + 1;
  const Map &out = run.chain.maps[number];
  const int first_written = s.pool ? first_pixel / 4 : first_pixel;
  Finish f{};
  f.n_pixels = n_pixels;
  f.relu = s.relu;
  f.pool = s.pool;
  f.residual = s.residual >= 0 ? run.map(s.residual, image) + block.first : nullptr;
  f.residual_at = s.residual >= 0 ? s.residual_at.data() + first_pixel : nullptr;
  f.out = run.map(number, image) + block.first;
  f.out_at = s.out_at.data() + first_written;
  const int wide = (out.channels + 15) / 16 * 16;
  f.channel_sums = out.channel_sums ? run.channel_sums(number, image) + static_cast<int64_t>(part) * wide + block.first : nullptr;
  const int64_t which = &block - s.blocks.data();
  f.position_sums = out.position_sums ? run.position_sums(number, image) + which * out.pixels() + first_written : nullptr;
  return f;
}

// Positions of the rows from low to high that a tap uses where strides are above 1.
int pick(const Step &s, const Map &in, const Kept &kept, Scratch &scratch, int ky, int kx, int first_row, int last_row) {
  int n = 0;
  for (int y = 0; y < in.height; y++) {
    const int from_y = y + s.pad_h - ky * s.dilation_h;
    if (from_y < 0 || from_y % s.stride_h || from_y / s.stride_h < first_row || from_y / s.stride_h >= last_row) continue;
    for (int i = kept.row_start[y]; i < kept.row_start[y + 1]; i++) {
      const int x = kept.positions[i] - y * in.width;
      const int from_x = x + s.pad_w - kx * s.dilation_w;
      if (from_x < 0 || from_x % s.stride_w || from_x / s.stride_w >= s.out_w) continue;
      scratch.x_at[n] = kept.x_at[i];
      scratch.sum_at[n++] = (from_y / s.stride_h - first_row) * s.grid_w + from_x / s.stride_w;
    }
  }
  return n;
}

void add_tap(const Run &run, const Step &s, const Kept &kept, Scratch &scratch, int tap, int first_row, int last_row, Scatter &job) {
  const Map &in = run.chain.maps[s.source];
  const int ky = tap / s.kernel_w, kx = tap % s.kernel_w;
  if (s.stride_h != 1 || s.stride_w != 1) {
    job.n_positions = pick(s, in, kept, scratch, ky, kx, first_row, last_row);
    job.x_at = scratch.x_at.data(), job.sum_at = scratch.sum_at.data();
    return run.chain.variant->scatter(job);
  }
  const int down = s.pad_h - ky * s.dilation_h;
  const int low = std::clamp(first_row - down, 0, in.height), high = std::clamp(last_row - down, low, in.height);
  const int begin = kept.row_start[low];
  job.n_positions = kept.row_start[high] - begin;
  job.x_at = kept.x_at.data() + begin, job.sum_at = kept.sum_at.data() + begin;
  job.pieces = s.whole_rows ? kept.pieces.data() + kept.piece_start[low] : nullptr;
  job.n_pieces = s.whole_rows ? kept.piece_start[high] - kept.piece_start[low] : 0;
  const int64_t shift = static_cast<int64_t>(down - first_row) * s.grid_w + s.pad_w - kx * s.dilation_w + s.margin;
  float *sums = job.sums;
  job.sums += shift * job.vectors * run.chain.variant->lanes;
  run.chain.variant->scatter(job);
  job.sums = sums;
}

// Rows of weights of a block that lie in the second-level cache together with those that come next.
int group_rows(const Step &s, int bytes) { return std::max(3, bytes / (s.wide * static_cast<int>(sizeof(float)))); }

// Channels are taken in groups, all taps and positions of one before the next; the weights of the next are fetched
// meanwhile, in the order in which they lie.
void add_groups(const Run &run, const Step &s, const Kept &kept, Scratch &scratch, const Block &block, int first_row, int last_row, Scatter &job) {
  const int n = s.kept_channels, taps = s.taps(), strided = s.stride_h != 1 || s.stride_w != 1;
  const int together = s.whole_rows ? 3 : 1;
  const int rows = group_rows(s, s.whole_rows ? kRowGroup : kScatterGroup), groups = strided ? 1 : (n * taps + rows - 1) / rows;
  const Entry *all = !s.fetched ? nullptr : s.channel_gate ? kept.list.data() : s.dense.data();
  const float *weights = s.weights.get() + block.weights;
  const auto start = [&](int group) { return static_cast<int>(static_cast<int64_t>(n) * group / groups); };
  for (int group = 0; group < groups; group++) {
    const int next = group + 1 < groups ? group + 1 : 0, n_next = start(next + 1) - start(next);
    job.list = kept.rows.data() + start(group);
    job.n_list = start(group + 1) - start(group);
    job.later = next ? weights : job.next;
    for (int tap = 0; tap < taps; tap += together) {
      job.weights = weights + static_cast<int64_t>(tap) * s.wide;
      const bool there = all && job.later && (tap + together) * job.n_list <= n_next * taps + kAhead;
      job.fetch = there ? all + static_cast<int64_t>(start(next)) * taps + tap * job.n_list : nullptr;
      add_tap(run, s, kept, scratch, tap, first_row, last_row, job);
    }
  }
}

}  // namespace

int input_tasks(const Run &run) { return run.batch * ((run.chain.maps[0].height + kInputRows - 1) / kInputRows); }

void read_input(void *context, int task, int) {
  Run &run = *static_cast<Run *>(context);
  const Map &map = run.chain.maps[0];
  const int per_image = input_tasks(run) / run.batch, image = task / per_image, part = task % per_image;
  float *to = run.map(0, image);
  const int64_t plane = map.pixels();
  const float *from = run.input + image * plane * map.channels;
  if (part == 0) clear_frame(map, to);
  for (int y = part * kInputRows; y < std::min(map.height, (part + 1) * kInputRows); y++)
    for (int x = 0; x < map.width; x++) {
      float *pixel = to + map.offset(y, x);
      const int64_t at = static_cast<int64_t>(y) * map.width + x;
      if (run.chain.layout == 1)
        std::memcpy(pixel, from + at * map.channels, map.channels * sizeof(float));
      else
        for (int c = 0; c < map.channels; c++) pixel[c] = from[c * plane + at];
      for (int c = map.channels; c < (map.channels + 15) / 16 * 16; c++) pixel[c] = 0.0f;
    }
}

void write_output(void *context, int image, int) {
  Run &run = *static_cast<Run *>(context);
  const int number = static_cast<int>(run.chain.steps.size());
  const Map &map = run.chain.maps[number];
  const float *from = run.map(number, image);
  const int64_t plane = map.pixels();
  float *to = run.output + image * plane * map.channels;
  if (run.chain.layout == 1) {
    for (int i = 0; i < plane; i++)
      std::memcpy(to + static_cast<int64_t>(i) * map.channels, from + map.at[i], map.channels * sizeof(float));
    return;
  }
  for (int first = 0; first < map.channels; first += kLine) {  // a cache line of each pixel, and few planes at a time
    const int end = std::min(map.channels, first + kLine);
    for (int i = 0; i < plane; i++)
      for (int c = first; c < end; c++) to[c * plane + i] = from[map.at[i] + c];
  }
}

void shortcut(void *context, int image, int) {
  Run &run = *static_cast<Run *>(context);
  const Step &s = run.chain.steps[run.step];
  const Map &in = run.chain.maps[s.source], &out = run.chain.maps[run.step + 1];
  const float *from = run.map(s.source, image);
  float *to = run.map(run.step + 1, image);
  const int first = std::max(0, s.before), last = std::min(out.channels, in.channels + s.before);
  clear_frame(out, to);
  for (int y = 0; y < out.height; y++)
    for (int x = 0; x < out.width; x++) {
      float *pixel = to + out.offset(y, x);
      std::memset(pixel, 0, (out.channels + 15) / 16 * 16 * sizeof(float));
      const float *source = from + in.offset(y * s.stride_h, x * s.stride_w);
      for (int c = first; c < last; c++) pixel[c] = source[c - s.before];
    }
}

namespace {

// Weights that the same thread will probably use in its next task, if they are others.
const float *next_weights(const Run &run, const Step &s, const Block &block, int task, int parts) {
  if (s.blocks.size() == 1) return nullptr;
  const size_t next = (task + run.threads) / parts / run.batch;
  const bool another = next < s.blocks.size() && &s.blocks[next] != &block && s.blocks[next].vectors == block.vectors;
  return another ? s.weights.get() + s.blocks[next].weights : nullptr;
}

}  // namespace

// Tasks of some microseconds must not divide and look things up again: this is once for all of a step's.
void prepare_windows(Run &run) {
  const Step &s = run.chain.steps[run.step];
  run.parts = s.n_chunks();
  Direct &d = run.direct;
  d = Direct{};
  d.list = s.dense.data();
  d.n_list = static_cast<int>(s.dense.size()) - kAhead;
  // What stays in the second-level cache is not taken in groups: each costs every tile a round of its sums through memory.
  const Grouping groups = grouping();
  const int64_t bytes = static_cast<int64_t>(d.n_list) * s.wide * static_cast<int64_t>(sizeof(float));
  d.group = bytes <= kNear ? std::max(1, d.n_list) : group_rows(s, groups.bytes);
  d.nearest = groups.nearest;
  const bool rows = s.kernel_w == 3 && s.stride_w == 1 && s.dilation_w == 1 && !s.pool;
  d.pitch = rows ? run.chain.maps[s.source].pitch : 0;
  d.wide = s.wide;
}

// Tasks run through the images and their parts first, so that a block's weights are read once.
void windows(void *context, int task, int slot) {
  Run &run = *static_cast<Run *>(context);
  const Step &s = run.chain.steps[run.step];
  const int rest = task / run.parts, part = task - rest * run.parts;
  const int image = run.batch == 1 ? 0 : rest % run.batch;
  const Block &block = s.blocks[run.batch == 1 ? rest : rest / run.batch];
  if (part == 0 && &block == s.blocks.data()) clear_frame(run.chain.maps[run.step + 1], run.map(run.step + 1, image));
  const int first = part * s.chunk;
  Direct d = run.direct;
  d.x = run.source(s, image);
  d.x_at = s.x_at.data() + first;
  if (s.gated() && s.path == EW_CHANNELS) {
    const Kept &kept = run.space.kept[image];
    d.list = kept.list.data();
    d.n_list = static_cast<int>(kept.list.size()) - kAhead;
  }
  d.weights = s.weights.get() + block.weights;
  d.next = next_weights(run, s, block, task, run.parts);
  d.bias = s.bias.get() + block.first;
  d.vectors = block.vectors;
  d.sums = run.space.scratch[slot].sums.get();
  d.finish = finishing(run, s, block, image, first, std::min(s.chunk, s.n_pixels() - first), part);
  run.chain.variant->direct(d);
}

void positions(void *context, int task, int slot) {
  Run &run = *static_cast<Run *>(context);
  const Step &s = run.chain.steps[run.step];
  const int n_strips = s.n_strips(), part = task % n_strips, image = task / n_strips % run.batch;
  const Block &block = s.blocks[task / n_strips / run.batch];
  if (part == 0 && &block == s.blocks.data()) clear_frame(run.chain.maps[run.step + 1], run.map(run.step + 1, image));
  const Kept &kept = run.space.kept[image];
  Scratch &scratch = run.space.scratch[slot];
  const int high = s.pool ? s.out_h / 2 * 2 : s.out_h;
  const int first_row = part * s.strip_rows, last_row = std::min(high, first_row + s.strip_rows);
  run.chain.variant->fill(scratch.sums.get(), s.bias.get() + block.first, static_cast<int64_t>(last_row - first_row) * s.grid_w, block.vectors);
  Scatter job{};
  job.x = run.map(s.source, image);
  job.sums = scratch.sums.get();
  job.vectors = block.vectors;
  job.wide = s.wide;
  job.all_x_at = kept.x_at.data(), job.all_sum_at = kept.sum_at.data();
  job.next = next_weights(run, s, block, task, n_strips);
  add_groups(run, s, kept, scratch, block, first_row, last_row, job);
  const int per_row = s.pool ? s.out_w / 2 * 2 : s.out_w;  // a pooled map leaves out an odd last column
  Strip strip{};
  strip.sums = scratch.sums.get();
  strip.sum_at = s.sum_at.data() + first_row * per_row;
  strip.first = first_row * s.grid_w;
  strip.vectors = block.vectors;
  strip.finish = finishing(run, s, block, image, first_row * per_row, (last_row - first_row) * per_row, part);
  run.chain.variant->strip(strip);
}

}  // namespace ew
