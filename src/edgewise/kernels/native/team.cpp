#include "team.h"

#include <condition_variable>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace ew {

void Team::relax(int spins) {
  if (spins > 4000) {
    std::this_thread::yield();
    return;
  }
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

void Team::help(void *arg) {
  Team &team = *static_cast<Team *>(arg);
  if (team.over_.load(std::memory_order_acquire)) return;
  const int slot = team.slots_.fetch_add(1);
  if (slot >= team.host_->threads) return;
  for (int spins = 0; !team.over_.load(std::memory_order_acquire);) {
    if (team.work(slot))
      spins = 0;
    else
      relax(spins++);
  }
}

}  // namespace ew

struct ew_pool {
  explicit ew_pool(int threads) {
    host.context = this;
    host.threads = threads;
    host.start = &ew_pool::start;
    host.join = &ew_pool::join;
    for (int i = 1; i < threads; i++) workers.emplace_back([this] { live(); });
  }

  ~ew_pool() {
    {
      std::lock_guard<std::mutex> hold(mutex);
      ending = true;
    }
    wake.notify_all();
    for (std::thread &worker : workers) worker.join();
  }

  void live() {
    std::unique_lock<std::mutex> hold(mutex);
    uint64_t seen = 0;
    for (;;) {
      wake.wait(hold, [&] { return ending || (help && round != seen); });
      if (ending) return;
      seen = round;
      void (*job)(void *) = help;
      void *with = arg;
      active++;
      hold.unlock();
      job(with);
      hold.lock();
      if (--active == 0) idle.notify_all();
    }
  }

  static void start(void *context, void (*help)(void *), void *arg, int) {
    ew_pool &pool = *static_cast<ew_pool *>(context);
    std::lock_guard<std::mutex> hold(pool.mutex);
    if (pool.help) return;  // another run has the threads; this one does without
    pool.help = help, pool.arg = arg, pool.owner = std::this_thread::get_id(), pool.round++;
    pool.wake.notify_all();
  }

  static void join(void *context) {
    ew_pool &pool = *static_cast<ew_pool *>(context);
    std::unique_lock<std::mutex> hold(pool.mutex);
    if (!pool.help || pool.owner != std::this_thread::get_id()) return;
    pool.idle.wait(hold, [&] { return pool.active == 0; });
    pool.help = nullptr;
  }

  ew_host host;
  std::mutex mutex;
  std::condition_variable wake, idle;
  std::vector<std::thread> workers;
  void (*help)(void *) = nullptr;
  void *arg = nullptr;
  std::thread::id owner;
  uint64_t round = 0;
  int active = 0;
  bool ending = false;
};

extern "C" {

ew_pool *ew_pool_create(int threads) {
  try {
    return new ew_pool(threads < 1 ? 1 : threads);
  } catch (const std::exception &) {
    return nullptr;
  }
}

void ew_pool_destroy(ew_pool *pool) { delete pool; }

const ew_host *ew_pool_host(ew_pool *pool) { return &pool->host; }
}
