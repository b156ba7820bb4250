// The Python module: argument checks, buffer protocol and names. What the classes do is documented
// in the headers and, for Python, in krserve_native.pyi.
#include <pybind11/pybind11.h>

#include <string>
#include <utility>

#include "kr_command_buffer_pool.h"
#include "kr_metrics_collector.h"

namespace py = pybind11;

namespace {

// A buffer and how many views of its memory are alive. Changed under the GIL only.
struct PyCommandBuffer {
  kr::CommandBuffer buffer;
  Py_ssize_t views = 0;
};

// An integer that doesn't even fit, a negative one too, is a ValueError like any other absurd size.
std::size_t to_size(const char* name, const py::object& value, std::size_t max) {
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  if (!index) throw py::error_already_set();
  int overflow = 0;
  const long long size = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  if (overflow != 0 || size < 0) {
    throw py::value_error(std::string(name) + " must be from 1 to " + std::to_string(max) +
                          ", not " + py::str(index).cast<std::string>());
  }
  return static_cast<std::size_t>(size);
}

kr::PoolBackend to_backend(const std::string& name) {
  if (name == "auto") return kr::PoolBackend::automatic;
  if (name == "host") return kr::PoolBackend::host;
  if (name == "metal") return kr::PoolBackend::metal;
  throw py::value_error("backend must be auto, host or metal, not " + name);
}

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
  auto& held = py::handle(self).cast<PyCommandBuffer&>();
  if (held.buffer.data() == nullptr) {
    PyErr_SetString(PyExc_BufferError, held.buffer ? "a Metal command buffer has no host memory"
                                                   : "the buffer was released");
    return -1;
  }
  const int result = PyBuffer_FillInfo(view, self, held.buffer.data(),
                                       static_cast<Py_ssize_t>(held.buffer.bytes()), 0, flags);
  if (result == 0) ++held.views;
  return result;
}

void release_buffer(PyObject* self, Py_buffer*) {
  --py::handle(self).cast<PyCommandBuffer&>().views;
}

// pybind11's own buffer protocol can't be told when a view ends.
void set_buffer_protocol(PyHeapTypeObject* type) {
  type->as_buffer.bf_getbuffer = get_buffer;
  type->as_buffer.bf_releasebuffer = release_buffer;
  type->ht_type.tp_as_buffer = &type->as_buffer;
}

py::object view_of(const py::object& self) {
  auto view = py::reinterpret_steal<py::object>(PyMemoryView_FromObject(self.ptr()));
  if (!view) throw py::error_already_set();
  return view;
}

// Runs without the GIL what may wait for the device: what ends the wait may need the GIL.
template <typename Work>
auto run_waiting(const kr::CommandBufferPool& pool, Work work) {
  if (!pool.may_block()) return work();
  const py::gil_scoped_release released;
  return work();
}

void release_to(kr::CommandBufferPool& pool, PyCommandBuffer& held) {
  if (held.views > 0) {
    PyErr_Format(PyExc_BufferError, "%zd views of the buffer are in use", held.views);
    throw py::error_already_set();
  }
  run_waiting(pool, [&] { pool.release(held.buffer); });
}

// Class(field=value, …), as a dataclass prints itself.
template <typename... Fields>
std::string describe(const char* name, const std::pair<const char*, Fields>&... fields) {
  std::string text = name;
  const char* before = "(";
  ((text += before + std::string(fields.first) + "=" +
            py::repr(py::cast(fields.second)).template cast<std::string>(),
    before = ", "),
   ...);
  return text + ")";
}

void bind_pool(py::module_& module) {
  py::register_local_exception<kr::PoolError>(module, "PoolError", PyExc_RuntimeError);
  py::register_local_exception<kr::PoolExhausted>(module, "PoolExhausted",
                                                  module.attr("PoolError"));

  using Stats = kr::CommandBufferPoolStats;
  py::class_<Stats>(module, "CommandBufferPoolStats")
      .def_readonly("pool_size", &Stats::pool_size)
      .def_readonly("available", &Stats::available)
      .def_readonly("total_acquired", &Stats::total_acquired)
      .def_readonly("total_released", &Stats::total_released)
      .def_readonly("cache_hits", &Stats::cache_hits)
      .def_readonly("cache_misses", &Stats::cache_misses)
      .def("__repr__", [](const Stats& stats) {
        return describe("CommandBufferPoolStats", std::pair{"pool_size", stats.pool_size},
                        std::pair{"available", stats.available},
                        std::pair{"total_acquired", stats.total_acquired},
                        std::pair{"total_released", stats.total_released},
                        std::pair{"cache_hits", stats.cache_hits},
                        std::pair{"cache_misses", stats.cache_misses});
      });

  py::class_<PyCommandBuffer>(module, "CommandBuffer", py::custom_type_setup(set_buffer_protocol))
      .def("view", &view_of)
      .def_property_readonly("nbytes",
                             [](const PyCommandBuffer& held) { return held.buffer.bytes(); })
      .def_property_readonly("address", [](const PyCommandBuffer& held) {
        return reinterpret_cast<std::uintptr_t>(held.buffer.native_handle());
      });

  using Pool = kr::CommandBufferPool;
  py::class_<Pool>(module, "CommandBufferPool")
      .def(py::init([](const py::object& pool_size, const std::string& backend,
                       const py::object& buffer_bytes) {
             return std::make_unique<Pool>(
                 to_size("pool_size", pool_size, kr::kPoolSizeMax), to_backend(backend),
                 to_size("buffer_bytes", buffer_bytes, kr::kBufferBytesMax));
           }),
           py::arg("pool_size") = kr::kPoolSizeDefault, py::kw_only(), py::arg("backend") = "auto",
           py::arg("buffer_bytes") = kr::kBufferBytesDefault)
      .def("acquire",
           [](Pool& pool) {
             return std::make_unique<PyCommandBuffer>(
                 PyCommandBuffer{run_waiting(pool, [&] { return pool.acquire(); })});
           })
      .def("release", &release_to, py::arg("buffer").none(false))
      .def("reset", [](Pool& pool) { run_waiting(pool, [&] { pool.reset(); }); })
      .def("get_stats", &Pool::get_stats)
      .def_property_readonly("backend", [](const Pool& pool) {
        return pool.backend() == kr::PoolBackend::metal ? "metal" : "host";
      });
}

void bind_metrics(py::module_& module) {
  using Metrics = kr::Metrics;
  py::class_<Metrics>(module, "Metrics")
      .def_readonly("total_requests", &Metrics::total_requests)
      .def_readonly("completed_requests", &Metrics::completed_requests)
      .def_readonly("failed_requests", &Metrics::failed_requests)
      .def_readonly("average_latency_ms", &Metrics::average_latency_ms)
      .def_readonly("p50_latency_ms", &Metrics::p50_latency_ms)
      .def_readonly("p95_latency_ms", &Metrics::p95_latency_ms)
      .def_readonly("p99_latency_ms", &Metrics::p99_latency_ms)
      .def_readonly("throughput_rps", &Metrics::throughput_rps)
      .def("__repr__", [](const Metrics& metrics) {
        return describe("Metrics", std::pair{"total_requests", metrics.total_requests},
                        std::pair{"completed_requests", metrics.completed_requests},
                        std::pair{"failed_requests", metrics.failed_requests},
                        std::pair{"average_latency_ms", metrics.average_latency_ms},
                        std::pair{"p50_latency_ms", metrics.p50_latency_ms},
                        std::pair{"p95_latency_ms", metrics.p95_latency_ms},
                        std::pair{"p99_latency_ms", metrics.p99_latency_ms},
                        std::pair{"throughput_rps", metrics.throughput_rps});
      });

  using Collector = kr::MetricsCollector;
  py::class_<Collector>(module, "MetricsCollector")
      .def(py::init<>())
      .def("record_request", &Collector::record_request)
      .def(
          "record_completion",
          [](Collector& collector, const py::object& latency_ms) {
            // Not pybind11's own conversion: a number that is too large is an OverflowError.
            const double value = PyFloat_AsDouble(latency_ms.ptr());
            if (value == -1.0 && PyErr_Occurred() != nullptr) throw py::error_already_set();
            collector.record_completion(value);
          },
          py::arg("latency_ms"))
      .def("record_failure", &Collector::record_failure)
      .def("get_metrics", &Collector::get_metrics)
      .def("reset", &Collector::reset);
}

}  // namespace

PYBIND11_MODULE(krserve_native, module) {
  module.doc() = "Pool of buffers and collector of metrics of mlx-serving.";
  module.attr("__version__") = KR_VERSION;
  bind_pool(module);
  bind_metrics(module);
}
