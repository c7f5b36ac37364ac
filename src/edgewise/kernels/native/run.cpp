// A run of a chain, the choice of paths by time, and the C interface.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "team.h"
#include "workspace.h"

namespace ew {
namespace {

std::unique_ptr<Workspace> take(ew_chain &chain, int batch, int threads) {
  {
    std::lock_guard<std::mutex> hold(chain.mutex);
    for (auto &space : chain.idle)
      if (space->batch == batch && space->slots >= threads) {
        std::unique_ptr<Workspace> found = std::move(space);
        space = std::move(chain.idle.back());
        chain.idle.pop_back();
        return found;
      }
  }
  return make_workspace(chain, batch, threads);
}

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void run_step(Run &run, Team &team) {
  const Step &s = run.chain.steps[run.step];
  if (s.kind == EW_SHORTCUT) return team.run(shortcut, &run, run.batch);
  if (s.gated() || s.path == EW_SCATTER) team.run(choose, &run, run.batch);
  const int n = static_cast<int>(s.blocks.size()) * run.batch;
  if (s.path == EW_SCATTER) return team.run(positions, &run, n * s.n_strips());
  prepare_windows(run);
  team.run(windows, &run, n * run.parts);
}

}  // namespace

std::unique_ptr<Workspace> make_workspace(const ew_chain &chain, int batch, int threads) {
  auto space = std::make_unique<Workspace>();
  space->batch = batch, space->slots = threads;
  for (int64_t size : chain.slot_sizes) space->buffers.push_back(make_floats(size * batch));
  if (chain.pruned_size) space->pruned = make_floats(chain.pruned_size * batch);
  const int widest = chain.variant->most_vectors * chain.variant->lanes;
  int64_t strip = static_cast<int64_t>(kChunk) * widest, pixels = 1;
  for (const Map &map : chain.maps) {
    const bool summed = map.channel_sums || map.position_sums;
    space->channel_at.push_back(space->channel_stride);
    space->position_at.push_back(space->position_stride);
    space->channel_stride += summed ? static_cast<int64_t>(map.channels + 15) / 16 * 16 * map.chunks : 0;
    space->position_stride += summed ? static_cast<int64_t>(map.pixels()) * map.blocks : 0;
    pixels = std::max<int64_t>(pixels, map.pixels());
  }
  for (const Step &s : chain.steps)
    if (s.kind == EW_CONV)
      strip = std::max(strip, static_cast<int64_t>(s.strip_rows) * s.grid_w * widest);
  space->channel_sums = make_floats(batch * space->channel_stride);
  space->position_sums = make_floats(batch * space->position_stride);
  space->kept.resize(batch);
  space->scratch.resize(threads);
  for (Scratch &scratch : space->scratch) {
    scratch.sums = make_floats(strip);
    scratch.x_at.resize(pixels);
    scratch.sum_at.resize(pixels);
  }
  return space;
}

void run(ew_chain &chain, const float *input, float *output, int batch, const ew_host *host, uint8_t *const *masks, double *step_s) {
  std::unique_ptr<Workspace> space = take(chain, batch, host ? std::max(1, host->threads) : 1);
  {
    Run run{chain, *space, input, output, batch, masks, host ? std::max(1, host->threads) : 1};
    const int n_steps = static_cast<int>(chain.steps.size());
    Team team(host, 2 * n_steps + 2);
    team.run(read_input, &run, input_tasks(run));
    for (run.step = 0; run.step < n_steps; run.step++) {
      const double start_s = step_s ? now_s() : 0;
      run_step(run, team);
      if (step_s) step_s[run.step] = now_s() - start_s;
    }
    team.run(write_output, &run, batch);
  }
  std::lock_guard<std::mutex> hold(chain.mutex);
  chain.idle.push_back(std::move(space));
}

namespace {

constexpr int kRounds = 3;
constexpr double kDoubt = 1.04;

const Variant *pick_variant(const char *name) {
  for (const Variant *variant : {avx512(), avx2(), portable()})
    if (variant && (!name || !std::strcmp(name, variant->name))) return variant;
  throw std::invalid_argument(std::string("the variant must be one of ") + ew_variants() + ", got " + name);
}

// Seconds of every step with a path for all that may be chosen: the least of some runs.
std::vector<double> time_path(ew_chain &chain, int path, const std::vector<char> &open, int batch, const ew_host *host, int repeats,
                              const float *input, float *output) {
  std::vector<double> least(chain.steps.size(), 1e30), now(chain.steps.size());
  for (size_t i = 0; i < chain.steps.size(); i++)
    if (open[i]) chain.steps[i].path = path;
  for (int i = 0; i < repeats; i++) {
    run(chain, input, output, batch, host, nullptr, now.data());
    for (size_t k = 0; k < now.size(); k++) least[k] = std::min(least[k], now[k]);
  }
  return least;
}

void tune(ew_chain &chain, int batch, const ew_host *host, int repeats) {
  std::vector<char> open;
  bool any = false;
  for (const Step &s : chain.steps) open.push_back(s.kind == EW_CONV && !s.tuned), any = any || open.back();
  if (!any) return;
  const Map &in = chain.maps.front(), &out = chain.maps.back();
  Floats input = make_floats(static_cast<size_t>(batch) * in.pixels() * in.channels);
  Floats output = make_floats(static_cast<size_t>(batch) * out.pixels() * out.channels);
  uint32_t state = 1;
  for (int64_t i = 0; i < static_cast<int64_t>(batch) * in.pixels() * in.channels; i++)
    input[i] = static_cast<float>((state = state * 1664525u + 1013904223u) >> 8) * (1.0f / (1 << 24));
  std::vector<double> best(chain.steps.size(), 1e30);
  std::vector<int> path(chain.steps.size(), EW_CHANNELS);
  std::vector<double> least[3];
  constexpr int candidates[3] = {EW_CHANNELS, EW_SCATTER, EW_DENSE};
  for (int round = 0; round < kRounds; round++)
    for (int k = 0; k < 3; k++) {
      const std::vector<double> found = time_path(chain, candidates[k], open, batch, host, repeats, input.get(), output.get());
      if (round == 0) least[k] = found;
      for (size_t i = 0; i < found.size(); i++) least[k][i] = std::min(least[k][i], found[i]);
    }
  // Another way than the first must be faster by more than noise.
  for (size_t i = 0; i < path.size(); i++)
    for (int k = 0; k < 3; k++) {
      const double time_s = least[k][i] * (k ? kDoubt : 1.0);
      if (time_s < best[i]) best[i] = time_s, path[i] = candidates[k];
    }
  for (size_t i = 0; i < path.size(); i++)
    if (open[i]) chain.steps[i].path = path[i], chain.steps[i].tuned = true;
}

}  // namespace
}  // namespace ew

ew_chain::ew_chain() = default;
ew_chain::~ew_chain() = default;

extern "C" {

const char *ew_variants(void) {
  static const std::string names = [] {
    std::string all;
    for (const ew::Variant *variant : {ew::avx512(), ew::avx2(), ew::portable()})
      if (variant) all += (all.empty() ? "" : ",") + std::string(variant->name);
    return all;
  }();
  return names.c_str();
}

#ifndef EW_SOURCES
#define EW_SOURCES "unknown"
#endif
const char *ew_sources(void) { return EW_SOURCES; }

ew_chain *ew_chain_create(const int32_t *program, int n_ints, const float *const *weights, const float *const *biases, const char *variant,
                          char *error, int error_size) {
  try {
    auto chain = std::make_unique<ew_chain>();
    chain->variant = ew::pick_variant(variant);
    ew::read_program(program, n_ints, *chain);
    ew::prepare(*chain, weights, biases);
    return chain.release();
  } catch (const std::exception &problem) {
    std::snprintf(error, error_size, "%s", problem.what());
    return nullptr;
  }
}

void ew_chain_destroy(ew_chain *chain) { delete chain; }

void ew_chain_shape(const ew_chain *chain, int map, int32_t shape[3]) {
  const ew::Map &m = chain->maps[map];
  shape[0] = m.channels, shape[1] = m.height, shape[2] = m.width;
}

int ew_program_shape(const int32_t *program, int n_ints, int32_t shape[3]) {
  try {
    ew_chain chain;
    ew::read_program(program, n_ints, chain);
    ew_chain_shape(&chain, static_cast<int>(chain.maps.size()) - 1, shape);
    return 0;
  } catch (const std::exception &) {
    return 1;
  }
}

int64_t ew_chain_bytes(const ew_chain *chain) {
  int64_t bytes = 0;
  for (const ew::Step &s : chain->steps) bytes += s.bytes;
  return bytes;
}

int ew_chain_path(const ew_chain *chain, int step) { return chain->steps[step].path; }

int ew_chain_set_path(ew_chain *chain, int step, int path) {
  ew::Step &s = chain->steps[step];
  if (s.kind != EW_CONV || path < EW_DENSE || path > EW_SCATTER) return 1;
  s.tuned = true;
  s.path = path;
  return 0;
}

int ew_chain_tune(ew_chain *chain, int batch, const ew_host *host, int repeats) {
  try {
    ew::tune(*chain, batch, host, repeats);
    return 0;
  } catch (const std::exception &) {
    return 1;
  }
}

int ew_chain_run_masks(ew_chain *chain, const float *input, float *output, int batch, const ew_host *host, uint8_t *const *masks) {
  try {
    ew::run(*chain, input, output, batch, host, masks, nullptr);
    return 0;
  } catch (const std::exception &) {
    return 1;
  }
}

int ew_chain_run_timed(ew_chain *chain, const float *input, float *output, int batch, const ew_host *host, double *step_s) {
  try {
    ew::run(*chain, input, output, batch, host, nullptr, step_s);
    return 0;
  } catch (const std::exception &) {
    return 1;
  }
}

int ew_chain_run(ew_chain *chain, const float *input, float *output, int batch, const ew_host *host) {
  return ew_chain_run_masks(chain, input, output, batch, host, nullptr);
}
}
