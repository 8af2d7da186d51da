using System.Diagnostics;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu;
using Diffract.Crosscoders;
using Diffract.Training;

namespace Diffract.Bench;

/// <summary>A BatchTopK crosscoder in training, whose steps are timed a few at a time.</summary>
sealed class TrainedSteps : IDisposable
{
    readonly TimedBackend _backend;
    readonly Crosscoder _crosscoder;
    readonly TrainingState _state;
    readonly TrainingStep _step;
    readonly Matrix[] _batches;
    readonly List<double> _seconds = [];
    long _steps;
    long _timedSteps;
    long _allocated;

    public TrainedSteps(string name, CpuPath path, int threads, ScreeningMode screening, int width, int latents, int tokens = 1024, int k = 32, long deadAfter = 10_000_000)
    {
        Name = name;
        _backend = new TimedBackend(new CpuBackend(path, threads, screening));
        CrosscoderConfig shape = new(CrosscoderKind.BatchTopK, latents, [width, width]) { K = k };
        TrainingConfig config = new()
        {
            Crosscoder = shape,
            Steps = 1_000_000,
            Batch = tokens,
            Warmup = 10,
            LearningRate = 2e-3,
            Clip = TrainingConfig.DefaultClip(CrosscoderKind.BatchTopK),
            DeadAfter = deadAfter,
        };
        _crosscoder = new Crosscoder(shape, _backend);
        CrosscoderInit.Paper(CrosscoderKind.BatchTopK, 1).Apply(_crosscoder);
        _state = new TrainingState(config, _crosscoder);
        _step = new TrainingStep(config, _crosscoder, _state);
        _batches = PlantedBatches.Make(8, tokens, 2 * width);
    }

    public string Name { get; }

    public int Width => _crosscoder.E;

    public int Latents => _crosscoder.Latents;

    public int Tokens => _batches[0].Rows;

    public StepRecord Last { get; private set; }

    /// <summary>Seconds of a step.</summary>
    public double Median => _seconds.Order().ElementAt(_seconds.Count / 2);

    public double Fastest => _seconds.Min();

    /// <summary>Bytes allocated by a step.</summary>
    public long Allocated => _allocated / Math.Max(1, _timedSteps);

    public string Parts => string.Join(", ", _backend.Seconds.Where(x => x.Value > 0).OrderByDescending(x => x.Value).Select(x => $"{x.Key} {x.Value / _timedSteps * 1e3:F2}"));

    /// <summary>Mean seconds of an op in a step.</summary>
    public double Seconds(string op) => _backend.Seconds.GetValueOrDefault(op) / _timedSteps;

    public void Train(int steps)
    {
        for (int i = 0; i < steps; i++)
        {
            Last = _step.Run(_batches[_steps++ % _batches.Length]);
        }

        _backend.Restart();
    }

    /// <summary>Times some steps; the first, which finds the caches full of something else, is not counted.</summary>
    public void Measure(int steps)
    {
        _backend.Paused = true;
        Last = _step.Run(_batches[_steps++ % _batches.Length]);
        _backend.Paused = false;
        for (int i = 1; i < steps; i++)
        {
            long before = GC.GetTotalAllocatedBytes(precise: true), start = Stopwatch.GetTimestamp();
            Last = _step.Run(_batches[_steps++ % _batches.Length]);
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            _allocated += GC.GetTotalAllocatedBytes(precise: true) - before;
            _seconds.Add(seconds);
            _timedSteps++;
        }
    }

    /// <summary>Median seconds of decoding one batch's code in 32 virtual shards and in one, in turns.</summary>
    public (double With, double Without) Shards(int rounds)
    {
        using SparseCode with = new(Tokens, Latents, 16), without = new(Tokens, Latents, 16) { ShardSize = Latents };
        Matrix recon_BE = Matrix.Host(Tokens, Width);
        double[][] seconds = [new double[rounds], new double[rounds]];
        for (int round = -2; round < rounds; round++)
        {
            foreach (SparseCode code in (SparseCode[])[with, without])
            {
                // The encode before it leaves the caches as in a step.
                _crosscoder.Backend.Crosscoder.EncodeSelect(
                    _batches[0], _crosscoder.WEnc_LE, _crosscoder.BEnc_L, _crosscoder.Scale_L, Selection.BatchTopK(_crosscoder.Config.K * Tokens), code);
                long start = Stopwatch.GetTimestamp();
                _crosscoder.Backend.Crosscoder.Decode(code, _crosscoder.WDec_LE, _crosscoder.BDec_E, recon_BE);
                seconds[code == with ? 0 : 1][Math.Max(0, round)] = Stopwatch.GetElapsedTime(start).TotalSeconds;
            }
        }

        recon_BE.Buffer.Dispose();
        return (seconds[0].Order().ElementAt(rounds / 2), seconds[1].Order().ElementAt(rounds / 2));
    }

    public void Dispose()
    {
        _step.Dispose();
        _state.Dispose();
        _crosscoder.Dispose();
        _backend.Dispose();
        foreach (Matrix batch in _batches)
        {
            batch.Buffer.Dispose();
        }
    }
}
