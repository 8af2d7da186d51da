using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using Diffract.Compute.Buffers;
using Diffract.Cpu;
using Diffract.Cpu.Threads;
using Diffract.Crosscoders;
using Diffract.Training;

namespace Diffract.Bench;

/// <summary>
/// The same training step here and in PyTorch (bench/peers/crosscoder_step.py), by turns in one run: a few steps of ours, a few of each peer, again and again.
/// All begin with the same weights, taken from a crosscoder that has trained a little (so firing statistics are not those of random weights), and the same batches.
/// Nothing is timed before all have computed the same losses.
/// </summary>
static class PeerBench
{
    const int Latents = 8192;
    const int Width = 256;
    const int Tokens = 1024;
    const int Warmup = 10;
    const int CheckedSteps = 12;
    const int Rounds = 5;

    public static void Run(BenchTable table, CpuPath path, int threads, string python)
    {
        string folder = Directory.CreateTempSubdirectory("diffract-peer").FullName;
        try
        {
            List<string> notes = [];
            table.Header("step", "L0", "C ms", "ours ms", "in C", "peer", "peer ms", "in C", "peer / ours: median (by round)", "losses differ by at most");
            Measure(table, notes, path, threads, python, folder, new Case("BatchTopK", CrosscoderKind.BatchTopK, 10_000_000, 0, 60), "dense", "sparse");
            Measure(table, notes, path, threads, python, folder, new Case("BatchTopK, aux", CrosscoderKind.BatchTopK, 8 * Tokens, 0, 60), "dense");
            Measure(table, notes, path, threads, python, folder, new Case("L1", CrosscoderKind.L1, 10_000_000, 0.025, 300), "dense", "sparse");
            table.Note("");
            notes.ForEach(table.Note);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    static void Measure(BenchTable table, List<string> notes, CpuPath path, int threads, string python, string folder, Case step, params string[] forms)
    {
        using Ours ours = new(step, path, threads);
        object given = ours.Export(folder, threads);
        List<Peer> peers = [];
        try
        {
            peers.AddRange(forms.Select(form => new Peer(python, form, given)));
            double[] losses = ours.Steps(CheckedSteps).Losses;
            double[] apart = [.. peers.Select(p => Apart(p, losses, p.Steps(CheckedSteps).Losses))];
            double ceiling;
            using (WorkerPool pool = new(threads))
            {
                ceiling = FmaCeiling.Measure(pool, path);
            }

            (double Ours, double[] Peers)[] rounds = [.. Enumerable.Range(0, Rounds).Select(_ => (
                Median(ours.Steps(8).Seconds),
                (double[])[.. peers.Select(p => Median(p.Steps(p.Form == "dense" ? 2 : 4).Seconds))]))];
            double encode = 2.0 * Tokens * Latents * 2 * Width / (ceiling * 1e9), mine = Median([.. rounds.Select(r => r.Ours)]);
            for (int i = 0; i < peers.Count; i++)
            {
                int at = i;
                double[] ratios = [.. rounds.Select(r => r.Peers[at] / r.Ours)];
                double theirs = Median([.. rounds.Select(r => r.Peers[at])]);
                table.Row(
                    step.Name, ours.Last.L0, encode * 1e3, mine * 1e3, $"{mine / encode:F2}", peers[i].Form, theirs * 1e3, $"{theirs / encode:F2}",
                    $"{Median(ratios):F1}x ({string.Join(", ", ratios.Select(r => r.ToString("F1", CultureInfo.InvariantCulture)))})", apart[i].ToString("E0", CultureInfo.InvariantCulture));
            }

            notes.Add($"{step.Name}: dead {ours.Last.Dead}; ceiling {ceiling:F0} GFLOP/s; {peers[0].Versions}");
        }
        finally
        {
            peers.ForEach(p => p.Dispose());
        }
    }

    /// <summary>Largest relative difference of the losses; above 1e-4 the two do not do the same work.</summary>
    static double Apart(Peer peer, double[] ours, double[] theirs)
    {
        double apart = ours.Zip(theirs, (a, b) => Math.Abs(a - b) / Math.Abs(a)).Max();
        return apart <= 1e-4
            ? apart
            : throw new InvalidOperationException($"the {peer.Form} peer computes other losses: [{string.Join(", ", theirs)}], ours [{string.Join(", ", ours)}]");
    }

    static double Median(double[] values)
    {
        double[] sorted = [.. values.Order()];
        return sorted[sorted.Length / 2];
    }

    sealed record Case(string Name, CrosscoderKind Kind, long DeadAfter, double Mu, int TrainedSteps);

    /// <summary>Our step, from the weights of a short training with fresh moments.</summary>
    sealed class Ours : IDisposable
    {
        readonly Case _case;
        readonly CpuBackend _backend;
        readonly TrainingConfig _config;
        readonly Crosscoder _crosscoder;
        readonly Matrix[] _batches = PlantedBatches.Make(8, Tokens, 2 * Width);
        readonly TrainingState _state;
        readonly TrainingStep _step;

        public Ours(Case step, CpuPath path, int threads)
        {
            _case = step;
            _backend = new CpuBackend(path, threads);
            CrosscoderConfig shape = new(step.Kind, Latents, [Width, Width]) { K = 32 };
            _config = new TrainingConfig
            {
                Crosscoder = shape,
                Steps = 1000,
                Batch = Tokens,
                Warmup = Warmup,
                LearningRate = 2e-3,
                Mu = step.Mu,
                Clip = TrainingConfig.DefaultClip(step.Kind),
                DeadAfter = step.DeadAfter,
            };
            _crosscoder = new Crosscoder(shape, _backend);
            CrosscoderInit.Paper(step.Kind, 1).Apply(_crosscoder);
            using (TrainingState state = new(_config, _crosscoder))
            using (TrainingStep training = new(_config, _crosscoder, state))
            {
                for (int i = 0; i < step.TrainedSteps; i++)
                {
                    training.Run(_batches[i % _batches.Length]);
                }
            }

            _state = new TrainingState(_config, _crosscoder);
            _step = new TrainingStep(_config, _crosscoder, _state);
        }

        public StepRecord Last { get; private set; }

        /// <summary>Writes weights and batches as raw float32 and says where they are, with every setting the peer needs.</summary>
        public object Export(string folder, int threads)
        {
            string Write(string name, Matrix matrix)
            {
                string file = Path.Combine(folder, $"{_case.Name}-{name}.f32");
                using FileStream stream = File.Create(file);
                for (int row = 0; row < matrix.Rows; row++)
                {
                    stream.Write(MemoryMarshal.AsBytes(matrix.Row(row)));
                }

                return file;
            }

            return new
            {
                kind = _case.Kind == CrosscoderKind.L1 ? "l1" : "batchtopk",
                tokens = Tokens,
                models = 2,
                width = Width,
                latents = Latents,
                k = 32,
                k_aux = _config.AuxPerToken,
                alpha = _config.AuxAlpha,
                mu = _case.Mu,
                lr = _config.LearningRate,
                warmup = Warmup,
                dead_after = _case.DeadAfter,
                threads,
                encoder = Write("enc", _crosscoder.WEnc_LE),
                encoder_bias = Write("enc-bias", _crosscoder.BEnc_L),
                decoder = Write("dec", _crosscoder.WDec_LE),
                decoder_bias = Write("dec-bias", _crosscoder.BDec_E),
                batches = _batches.Select((b, i) => Write($"batch{i}", b)).ToArray(),
            };
        }

        public (double[] Seconds, double[] Losses) Steps(int count)
        {
            double[] seconds = new double[count], losses = new double[count];
            for (int i = 0; i < count; i++)
            {
                long start = Stopwatch.GetTimestamp();
                Last = _step.Run(_batches[_state.Step % _batches.Length]);
                seconds[i] = Stopwatch.GetElapsedTime(start).TotalSeconds;
                losses[i] = Last.Loss;
            }

            return (seconds, losses);
        }

        public void Dispose()
        {
            _step.Dispose();
            _state.Dispose();
            _crosscoder.Dispose();
            _backend.Dispose();
        }
    }

    /// <summary>The Python process. BLAS settings that would slow it are removed; it allocates through tcmalloc where that is installed.</summary>
    sealed class Peer : IDisposable
    {
        readonly Process _process;

        public Peer(string python, string form, object given)
        {
            Form = form;
            Dictionary<string, JsonElement> fields = JsonSerializer.SerializeToElement(given).EnumerateObject().ToDictionary(p => p.Name, p => p.Value);
            fields["form"] = JsonSerializer.SerializeToElement(form);
            ProcessStartInfo start = new(python, [Script()])
            {
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
            };
            start.Environment.Remove("OPENBLAS_CORETYPE");
            start.Environment.Remove("OPENBLAS_L2_SIZE");
            // Threads that spin after their work would take our cores in our turn.
            start.Environment["OMP_WAIT_POLICY"] = "passive";
            string? malloc = new[] { "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4", "/usr/lib/aarch64-linux-gnu/libtcmalloc_minimal.so.4" }.FirstOrDefault(File.Exists);
            if (malloc is not null)
            {
                start.Environment["LD_PRELOAD"] = malloc;
            }

            _process = Process.Start(start)!;
            _process.StandardInput.WriteLine(JsonSerializer.Serialize(fields));
            JsonElement hello = Read();
            Versions = $"torch {hello.GetProperty("torch").GetString()}, {hello.GetProperty("blas").GetString()}, {(malloc is null ? "glibc malloc" : "tcmalloc")}";
        }

        public string Form { get; }

        public string Versions { get; }

        public (double[] Seconds, double[] Losses) Steps(int count)
        {
            _process.StandardInput.WriteLine(count);
            JsonElement answer = Read();
            return (Numbers(answer, "seconds"), Numbers(answer, "losses"));
        }

        public void Dispose()
        {
            _process.StandardInput.Close();
            _process.WaitForExit();
            _process.Dispose();
        }

        JsonElement Read()
            => _process.StandardOutput.ReadLine() is { } line
                ? JsonSerializer.Deserialize<JsonElement>(line)
                : throw new InvalidOperationException($"the {Form} peer ended without an answer; its error is above (python3 with torch is needed)");

        static double[] Numbers(JsonElement answer, string name) => [.. answer.GetProperty(name).EnumerateArray().Select(v => v.GetDouble())];

        static string Script()
        {
            DirectoryInfo? root = new(AppContext.BaseDirectory);
            while (root is not null && !File.Exists(Path.Combine(root.FullName, "Diffract.slnx")))
            {
                root = root.Parent;
            }

            return Path.Combine(root?.FullName ?? ".", "bench", "peers", "crosscoder_step.py");
        }
    }
}
