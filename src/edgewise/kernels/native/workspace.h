// Memory of one run: maps, attention sums, and what each gate keeps of each image.
#ifndef EDGEWISE_WORKSPACE_H
#define EDGEWISE_WORKSPACE_H

#include <memory>
#include <vector>

#include "chain.h"

namespace ew {

// What a gate keeps of one image.
struct Kept {
  std::vector<int32_t> channels, positions;  // ascending
  std::vector<Entry> list, rows;             // kept channels of all taps, with kAhead more; kept channels
  std::vector<int32_t> x_at, sum_at;         // of kept positions
  std::vector<int32_t> row_start;            // first kept position of each row
  std::vector<Piece> pieces;                 // kept positions by row, where the three taps of a row are taken at once
  std::vector<int32_t> piece_start;          // first piece of each row
  std::vector<int32_t> keys;
  std::vector<float> scores;
};

// Memory of one thread.
struct Scratch {
  Floats sums;                        // of a strip, or of the pixels of a chunk
  std::vector<int32_t> x_at, sum_at;  // positions that one tap uses
};

struct Workspace {
  int batch = 0, slots = 0;
  std::vector<Floats> buffers;  // by slot of the chain, for all images
  Floats pruned;                // copy of a map that others read whole, for all images
  Floats channel_sums, position_sums;
  std::vector<int64_t> channel_at, position_at;     // where each map's sums begin
  int64_t channel_stride = 0, position_stride = 0;  // floats of an image
  std::vector<Kept> kept;                           // by image
  std::vector<Scratch> scratch;                     // by thread
};

std::unique_ptr<Workspace> make_workspace(const ew_chain &chain, int batch, int threads);

// One run under way.
struct Run {
  ew_chain &chain;
  Workspace &space;
  const float *input;
  float *output;
  int batch;
  uint8_t *const *masks;
  int threads;
  int step = 0;
  int parts = 1;  // tasks of an image and a block, of the step under way
  Direct direct{};  // what all tasks of the step have alike, where it computes from windows
  float *map(int number, int image) const {
    const Map &m = chain.maps[number];
    return space.buffers[m.slot].get() + image * chain.slot_sizes[m.slot];
  }
  // What a step reads: its map, or the pruned copy.
  float *source(const Step &s, int image) const {
    return s.shared && s.prunes() ? space.pruned.get() + image * chain.pruned_size : map(s.source, image);
  }
  float *channel_sums(int number, int image) const {
    return space.channel_sums.get() + image * space.channel_stride + space.channel_at[number];
  }
  float *position_sums(int number, int image) const {
    return space.position_sums.get() + image * space.position_stride + space.position_at[number];
  }
};

// Tasks of the phases; context is a Run.
void read_input(void *context, int task, int slot);
void write_output(void *context, int task, int slot);
void choose(void *context, int image, int slot);    // what the step's gate keeps
void prepare_windows(Run &run);                     // before the tasks of a step that computes outputs from windows
void windows(void *context, int task, int slot);    // outputs from windows
void positions(void *context, int task, int slot);  // outputs from kept positions
void shortcut(void *context, int image, int slot);
int input_tasks(const Run &run);

}  // namespace ew
#endif
