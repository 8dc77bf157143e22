// Streams and events.
#include "world.h"

using namespace software_cuda;  // NOLINT: the file is the interface's

namespace {

// The thread has a context, and the object of another one works too where the driver allows that.
template <typename T>
Result begin_with(Call& call, Handles<std::shared_ptr<T>>& handles, Handle handle, std::shared_ptr<T>& object) {
  if (const Result result = call.begin_in_context()) return result;
  if (const Result result = call.find(handles, handle, object)) return result;
  return call.check(*object->context);
}

}  // namespace

SOFTWARE_CUDA_CALL cuStreamCreate(StreamHandle* handle, unsigned flags) {
  Call call("cuStreamCreate");
  if (const Result result = call.begin_in_context()) return result;
  if (!handle || (flags & ~kStreamNonBlocking)) return kInvalidValue;
  World& world = call.world();
  auto stream = std::make_shared<Stream>();
  stream->context = &call.context();
  stream->queue = world.scheduler.add(&call.context());
  stream->blocking = flags != kStreamNonBlocking;
  *handle = reinterpret_cast<StreamHandle>(world.streams.add(std::move(stream)));
  world.statistics.counts.live_streams++;
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuStreamDestroy_v2(StreamHandle handle) {
  Call call("cuStreamDestroy_v2");
  World& world = call.world();
  std::shared_ptr<Stream> stream;
  if (const Result result = begin_with(call, world.streams, handle, stream)) return result;
  world.streams.remove(handle);
  world.scheduler.remove(stream->queue);
  world.statistics.counts.live_streams--;
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuStreamSynchronize(StreamHandle handle) {
  Call call("cuStreamSynchronize");
  if (const Result result = call.begin_in_context()) return result;
  std::shared_ptr<Stream> stream;
  if (const Result result = call.find_stream(handle, stream)) return result;
  call.world().statistics.counts.synchronizations++;
  call.world().scheduler.wait(call.lock(), stream->queue->last);
  return call.check(*stream->context);
}

SOFTWARE_CUDA_CALL cuStreamQuery(StreamHandle handle) {
  Call call("cuStreamQuery");
  if (const Result result = call.begin_in_context()) return result;
  std::shared_ptr<Stream> stream;
  if (const Result result = call.find_stream(handle, stream)) return result;
  call.world().statistics.counts.queries++;
  const MarkPtr last = stream->queue->last;
  if (!last || last->reached) return kSuccess;
  call.world().scheduler.nudge(last);
  return kNotReady;
}

SOFTWARE_CUDA_CALL cuStreamWaitEvent(StreamHandle handle, EventHandle event_handle, unsigned) {
  Call call("cuStreamWaitEvent");
  if (const Result result = call.begin_in_context()) return result;
  std::shared_ptr<Stream> stream;
  if (const Result result = call.find_stream(handle, stream)) return result;
  std::shared_ptr<Event> event;
  if (const Result result = call.find(call.world().events, event_handle, event)) return result;
  call.world().statistics.counts.stream_waits++;
  if (!event->recorded) return kSuccess;  // as the driver has it: an event that was never recorded holds nothing up
  Operation operation;
  operation.what = "a wait for an event";
  operation.after.push_back(event->recorded);
  call.push(*stream, std::move(operation));
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuEventCreate(EventHandle* handle, unsigned flags) {
  Call call("cuEventCreate");
  if (const Result result = call.begin_in_context()) return result;
  if (!handle || (flags & ~(kEventBlockingSync | kEventDisableTiming | kEventInterprocess))) return kInvalidValue;
  if (flags & kEventInterprocess) return kNotSupported;
  auto event = std::make_shared<Event>();
  event->context = &call.context();
  *handle = reinterpret_cast<EventHandle>(call.world().events.add(std::move(event)));
  call.world().statistics.counts.live_events++;
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuEventDestroy_v2(EventHandle handle) {
  Call call("cuEventDestroy_v2");
  World& world = call.world();
  std::shared_ptr<Event> event;
  if (const Result result = begin_with(call, world.events, handle, event)) return result;
  world.events.remove(handle);
  world.statistics.counts.live_events--;
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuEventRecord(EventHandle handle, StreamHandle stream_handle) {
  Call call("cuEventRecord");
  std::shared_ptr<Event> event;
  if (const Result result = begin_with(call, call.world().events, handle, event)) return result;
  std::shared_ptr<Stream> stream;
  if (const Result result = call.find_stream(stream_handle, stream)) return result;
  if (event->context != stream->context) return call.misuse(kInvalidHandle, "an event and a stream of different devices");
  Operation operation;
  operation.what = "an event's record";
  event->recorded = call.push(*stream, std::move(operation));
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuEventQuery(EventHandle handle) {
  Call call("cuEventQuery");
  std::shared_ptr<Event> event;
  if (const Result result = begin_with(call, call.world().events, handle, event)) return result;
  call.world().statistics.counts.queries++;
  if (!event->recorded || event->recorded->reached) return kSuccess;
  call.world().scheduler.nudge(event->recorded);
  return kNotReady;
}

SOFTWARE_CUDA_CALL cuEventSynchronize(EventHandle handle) {
  Call call("cuEventSynchronize");
  std::shared_ptr<Event> event;
  if (const Result result = begin_with(call, call.world().events, handle, event)) return result;
  call.world().statistics.counts.synchronizations++;
  call.world().scheduler.wait(call.lock(), event->recorded);
  return call.check(*event->context);
}
