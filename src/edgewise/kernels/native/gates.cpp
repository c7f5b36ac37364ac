// What a gate keeps of an image, and the lists that the kernels read.
#include <algorithm>
#include <cstring>

#include "workspace.h"

namespace ew {
namespace {

// Partial sums of the writer's tasks, added in their order: the same for any number of threads.
void add_up(const float *partial, int parts, int64_t stride, int n, std::vector<float> &scores) {
  scores.assign((n + 15) / 16 * 16, 0.0f);
  float *to = scores.data();
  for (int part = 0; part < parts; part++)
    for (int i = 0; i < n; i++) to[i] += partial[part * stride + i];
}

void keep(const Variant &variant, Kept &kept, int n, int count, std::vector<int32_t> &chosen) {
  kept.keys.resize((n + 15) / 16 * 16);
  chosen.resize(n + kAhead);
  variant.select(kept.scores.data(), n, count, kept.keys.data(), chosen.data());
}

void list_channels(const Step &s, Kept &kept) {
  const int n = s.kept_channels;
  kept.list.resize(static_cast<size_t>(s.taps()) * n + kAhead);
  Entry *to = kept.list.data();
  const int taps = s.taps();
  for (int i = 0; i < n; i++) {
    const int32_t c = kept.channels[i];
    for (int tap = 0; tap < taps; tap++) *to++ = {s.tap_at[tap] + c, (c * taps + tap) * s.wide};
  }
  for (int i = 0; i < kAhead; i++) to[i] = to[-1];
}

void list_rows(const Step &s, Kept &kept) {
  kept.rows.resize(s.kept_channels);
  for (int i = 0; i < s.kept_channels; i++) kept.rows[i] = {kept.channels[i], kept.channels[i] * s.taps() * s.wide};
}

void list_positions(const Step &s, const Map &in, Kept &kept) {
  const int n = s.kept_positions;
  kept.x_at.resize(n);
  kept.sum_at.resize(n);
  kept.row_start.assign(in.height + 1, 0);
  int32_t *end = kept.row_start.data() + 1;
  for (int i = 0; i < n; i++) {
    const int32_t at = kept.positions[i];
    kept.x_at[i] = in.at[at];
    kept.sum_at[i] = s.grid_at[at];
    end[s.row_of[at]] = i + 1;
  }
  for (int y = 0; y < in.height; y++) end[y] = std::max(end[y], end[y - 1]);
}

// Positions side by side together, at most so many; of those that are alone in their row two at a time.
void list_pieces(const Map &in, int longest, Kept &kept) {
  kept.pieces.clear();
  kept.piece_start.resize(in.height + 1);
  for (int y = 0; y < in.height; y++) {
    kept.piece_start[y] = static_cast<int>(kept.pieces.size());
    int alone = -1;
    for (int i = kept.row_start[y], n; i < kept.row_start[y + 1]; i += n) {
      for (n = 1; i + n < kept.row_start[y + 1] && kept.positions[i + n] == kept.positions[i] + n;) n++;
      if (n == 1 && alone >= 0)
        kept.pieces[alone].second = i, alone = -1;
      else if (n == 1)
        alone = static_cast<int>(kept.pieces.size()), kept.pieces.push_back({1, i, -1});
      const int parts = n == 1 ? 0 : (n + longest - 1) / longest;
      for (int part = 0; part < parts; part++)
        kept.pieces.push_back({n * (part + 1) / parts - n * part / parts, i + n * part / parts, -1});
    }
  }
  kept.piece_start[in.height] = static_cast<int>(kept.pieces.size());
}

void zero_positions(const Map &in, float *map, const Kept &kept, int n_kept) {
  const int32_t *next = kept.positions.data(), *end = next + n_kept;
  for (int i = 0; i < in.pixels(); i++) {
    if (next != end && *next == i)
      next++;
    else
      for (float *to = map + in.at[i], *end = to + in.channels; to < end; to += kLine) std::fill_n(to, kLine, 0.0f);
  }
}

void zero_channels(const Map &in, float *map, const Kept &kept, int n_kept) {
  std::vector<int32_t> dropped;
  const int32_t *next = kept.channels.data(), *end = next + n_kept;
  for (int c = 0; c < in.channels; c++) {
    if (next != end && *next == c)
      next++;
    else
      dropped.push_back(c);
  }
  for (int i = 0; i < in.pixels(); i++)
    for (int32_t c : dropped) map[in.at[i] + c] = 0.0f;
}

void tell(const Run &run, const Step &s, const Map &in, const Kept &kept, int image) {
  if (!run.masks || !run.masks[run.step]) return;
  const int64_t stride = in.channels + in.pixels();
  uint8_t *mask = run.masks[run.step] + image * stride;
  std::memset(mask, 0, stride);
  for (int i = 0; i < s.kept_channels; i++) mask[kept.channels[i]] = 1;
  for (int i = 0; i < s.kept_positions; i++) mask[in.channels + kept.positions[i]] = 1;
}

}  // namespace

void choose(void *context, int image, int) {
  Run &run = *static_cast<Run *>(context);
  const Step &s = run.chain.steps[run.step];
  const Map &in = run.chain.maps[s.source];
  const Variant &variant = *run.chain.variant;
  Kept &kept = run.space.kept[image];
  float *map = run.map(s.source, image);
  float *channel_sums = run.channel_sums(s.source, image), *position_sums = run.position_sums(s.source, image);
  const bool summed = s.source > 0 && run.chain.steps[s.source - 1].kind == EW_CONV;
  if (!summed && s.gated()) variant.attend(map, in.at.data(), in.pixels(), in.channels, channel_sums, position_sums);
  const int wide = (in.channels + 15) / 16 * 16;
  const Step *writer = summed ? &run.chain.steps[s.source - 1] : nullptr;
  const int chunks = !writer ? 1 : writer->path == EW_SCATTER ? writer->n_strips() : writer->n_chunks();
  if (s.channel_gate) add_up(channel_sums, chunks, wide, in.channels, kept.scores);
  keep(variant, kept, in.channels, s.kept_channels, kept.channels);
  if (s.position_gate) add_up(position_sums, writer ? static_cast<int>(writer->blocks.size()) : 1, in.pixels(), in.pixels(), kept.scores);
  keep(variant, kept, in.pixels(), s.kept_positions, kept.positions);
  tell(run, s, in, kept, image);
  if (float *copy = run.source(s, image); copy != map) {
    std::memcpy(copy, map, in.size * sizeof(float));
    map = copy;
  }
  if (s.path == EW_SCATTER) {
    list_positions(s, in, kept);
    list_rows(s, kept);
    if (s.whole_rows) list_pieces(in, variant.longest, kept);
    if (s.channel_gate && s.fetched) list_channels(s, kept);
    return;
  }
  if (s.position_gate) zero_positions(in, map, kept, s.kept_positions);
  if (s.path == EW_DENSE) {
    if (s.channel_gate) zero_channels(in, map, kept, s.kept_channels);
  } else {
    list_channels(s, kept);
  }
}

}  // namespace ew
