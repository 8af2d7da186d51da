using Diffract.Activations;
using Diffract.Compute.Kernels;
using Diffract.Cpu;
using Diffract.Crosscoders;
using Diffract.Latents;
using Diffract.Planted;
using Diffract.Runs;
using Diffract.Scaling;

namespace Diffract.Tests.Planted;

/// <summary>
/// A small planted run without noise, whose dictionary is small enough to be read exactly: the crosscoder that is the truth itself has the true directions as decoder, and their pseudo-inverse as encoder.
/// </summary>
public sealed class PlantedRun : IDisposable
{
    public static readonly PlantedSettings Settings = new()
    {
        Latents = 48,
        Width = 40,
        Tokens = 40_000,
        Noise = 0,
        Shares = [25, 12, 13, 17, 17, 16],
        RateLow = 0.01,
        RateMedian = 0.03,
        RateHigh = 0.1,
        Storage = StorageKind.Float32,
        Seed = 3,
    };

    readonly TemporaryFolder _folder = new();

    public PlantedRun()
    {
        Run = RunFolder.Create(Path.Combine(_folder.Path, "run"));
        PlantedStage.Run(Context(), Settings);
        Truth = PlantedTruth.Of(Settings);
    }

    public RunFolder Run { get; }

    public PlantedTruth Truth { get; }

    public IBackend Backend { get; } = new CpuBackend(CpuPaths.Best, 2);

    public StageContext Context(bool fresh = false) => new(Run, Backend, new SilentProgress(), fresh);

    /// <summary>Adds the oracle, with the models exchanged where that is asked for, and runs `latents` and `scale` on it.</summary>
    public void AddOracle(string name, bool swapped = false)
    {
        int n = Truth.Latents.Count, e = Truth.E, width = Settings.Width;
        double[,] gram = new double[n, n];
        for (int i = 0; i < n; i++)
        {
            for (int j = 0; j < n; j++)
            {
                gram[i, j] = LatentVectors.Dot(Truth.Direction(i), Truth.Direction(j));
            }
        }

        double[,] inverse = Inverse(gram, n);
        using Crosscoder crosscoder = new(new CrosscoderConfig(CrosscoderKind.BatchTopK, n, [width, width]) { K = 4 }, Backend);
        for (int i = 0; i < n; i++)
        {
            Span<float> encoder = crosscoder.WEnc_LE.Row(i), decoder = crosscoder.WDec_LE.Row(i);
            double bias = 0;
            for (int c = 0; c < e; c++)
            {
                // The encoder reads the data as they are; only what the decoder says can be told wrong.
                double sum = 0;
                for (int j = 0; j < n; j++)
                {
                    sum += inverse[i, j] * Truth.Direction(j)[c];
                }

                encoder[c] = (float)sum;
                decoder[c] = Truth.Direction(i)[swapped ? (c + width) % e : c];
                bias -= sum * Truth.Mean[c];
            }

            crosscoder.BEnc_L.Row(0)[i] = (float)bias;
        }

        Truth.Mean.CopyTo(crosscoder.BDec_E.Row(0));
        crosscoder.Threshold = 0.05f;
        crosscoder.RefreshNorms();
        using ActivationStore activations = ActivationStore.Open(Run, PlantedStage.Layer);
        string folder = Run.Crosscoder(name);
        Dictionary<string, FileSeal> outputs = CrosscoderFolder.Save(folder, crosscoder);
        new StageManifest
        {
            Stage = "train",
            Settings = new() { ["layer"] = PlantedStage.Layer },
            Inputs = { [Run.Relative(Run.Activations(PlantedStage.Layer))] = activations.Manifest.Fingerprint() },
            Outputs = outputs,
        }.Save(folder);
        LatentsStage.Run(Context(), new LatentsSettings { Name = name });
        ScaleStage.Run(Context(), new ScaleSettings { Name = name });
    }

    public void Dispose()
    {
        Backend.Dispose();
        _folder.Dispose();
    }

    /// <summary>Gauss and Jordan, with pivots.</summary>
    static double[,] Inverse(double[,] matrix, int n)
    {
        double[,] a = (double[,])matrix.Clone(), inverse = new double[n, n];
        for (int i = 0; i < n; i++)
        {
            inverse[i, i] = 1;
        }

        for (int column = 0; column < n; column++)
        {
            int pivot = Enumerable.Range(column, n - column).MaxBy(r => Math.Abs(a[r, column]));
            for (int c = 0; c < n; c++)
            {
                (a[column, c], a[pivot, c]) = (a[pivot, c], a[column, c]);
                (inverse[column, c], inverse[pivot, c]) = (inverse[pivot, c], inverse[column, c]);
            }

            double scale = a[column, column];
            for (int c = 0; c < n; c++)
            {
                a[column, c] /= scale;
                inverse[column, c] /= scale;
            }

            for (int row = 0; row < n; row++)
            {
                double factor = row == column ? 0 : a[row, column];
                for (int c = 0; c < n; c++)
                {
                    a[row, c] -= factor * a[column, c];
                    inverse[row, c] -= factor * inverse[column, c];
                }
            }
        }

        return inverse;
    }
}
