using System.Text.Json.Nodes;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Scaling;

namespace Diffract.Tests.Scaling;

/// <summary>Verification against its definition, and what least squares promises.</summary>
public sealed class VerificationTests : IDisposable
{
    readonly TemporaryFolder _folder = new();
    readonly CpuBackend _backend = new(CpuPaths.Best, 2);

    public void Dispose()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData("batchtopk", VectorChoice.Own)]
    [InlineData("batchtopk", VectorChoice.Random)]
    [InlineData("decoupled_chat", VectorChoice.Own)]
    public void Errors_are_as_defined(string dictionary, VectorChoice vectors)
    {
        JsonNode got = Verify(dictionary, vectors, out double[][] vectors_LD);
        LooseReading reading = Reading(dictionary);
        using LooseCodes codes = LooseCodes.Open(_backend, new SilentProgress(), reading, "verify", true, TestContext.Current.CancellationToken);
        Crosscoder crosscoder = codes.Crosscoder;
        using SafetensorsFile betas = SafetensorsFile.Open(Path.Combine(_folder.Path, "betas.safetensors"));
        int j = Enumerable.Range(0, 128).MaxBy(i => betas.Doubles("base_error.count_active")[i] < 900 ? betas.Doubles("base_error.count_active")[i] : 0);
        Matrix recon_BE = Matrix.Host(LooseCodes.BatchRows, 48);
        foreach ((TargetKind kind, int model, string name) in ScalingTargets.All)
        {
            double beta = betas.Doubles(name + ".beta")[j];
            List<double> before = [], after = [];
            codes.ForEach(0, codes.Rows, whole: true, (_, acts_BE, code) =>
            {
                crosscoder.Decode(code, recon_BE.SliceRows(0, acts_BE.Rows));
                for (int b = 0; b < acts_BE.Rows; b++)
                {
                    (double f, double own) = Code(code, b, j, codes.Input.CodeModel, model);
                    double x = 0, y = 0;
                    for (int d = 0; d < 24; d++)
                    {
                        int e = model * 24 + d;
                        double v = vectors_LD[j][d], row = model == 1 ? v : crosscoder.WDec_LE.Row(j)[d];
                        double target = kind switch
                        {
                            TargetKind.Activation => acts_BE.Row(b)[e],
                            TargetKind.ActivationNoBias => acts_BE.Row(b)[e] - crosscoder.BDec_E.Row(0)[e],
                            TargetKind.Reconstruction => recon_BE.Row(b)[e],
                            _ => acts_BE.Row(b)[e] - recon_BE.Row(b)[e] + own * row,
                        };
                        x += target * target;
                        y += (target - beta * f * v) * (target - beta * f * v);
                    }

                    before.Add(x);
                    after.Add(y);
                }
            }, TestContext.Current.CancellationToken);
            Near(before.Average(), (double)got[name]!["mse_before"]![j]!);
            Near(after.Average(), (double)got[name]!["mse_after"]![j]!);
            Near(after.Average(a => a * a) - after.Average() * after.Average(), (double)got[name]!["mse_after_variance"]![j]!);
        }

        recon_BE.Buffer.Dispose();
    }

    /// <summary>Betas are least-squares factors of the rows that they were fitted on: nothing else does better there, and buckets add up.</summary>
    [Fact]
    public void The_fitted_beta_is_the_best_one()
    {
        JsonNode fitted = Verify("batchtopk", VectorChoice.Own, out _);
        using SafetensorsFile betas = SafetensorsFile.Open(Path.Combine(_folder.Path, "betas.safetensors"));
        foreach (double factor in (double[])[0.9, 1.1])
        {
            SafetensorsWriter writer = new();
            foreach ((_, _, string name) in ScalingTargets.All)
            {
                double[] beta = betas.Doubles(name + ".beta");
                writer.Add(name + ".beta", beta.Select(b => b * factor).ToArray(), beta.Length);
            }

            string other = Path.Combine(_folder.Path, "other.safetensors"), output = Path.Combine(_folder.Path, "other.json");
            writer.Save(other);
            LooseVerification.Run(_backend, new SilentProgress(), new LooseVerificationSettings { Dictionary = Reading("batchtopk"), Betas = other, Out = output }, TestContext.Current.CancellationToken);
            JsonNode changed = JsonNode.Parse(File.ReadAllText(output))!;
            foreach ((_, _, string name) in ScalingTargets.All)
            {
                for (int j = 0; j < 128; j++)
                {
                    if (betas.Doubles(name + ".count_active")[j] > 0)
                    {
                        Assert.True((double)fitted[name]!["mse_after"]![j]! <= (double)changed[name]!["mse_after"]![j]! + 1e-9, $"{name}[{j}]");
                        Assert.True((double)fitted[name]!["mse_after"]![j]! <= (double)fitted[name]!["mse_before"]![j]! + 1e-9, $"{name}[{j}]");
                        Assert.Equal(betas.Doubles(name + ".count_active")[j], Enumerable.Range(0, 3).Sum(b => (double)fitted[name]!["buckets"]![b]!["count"]![j]!));
                    }
                    else
                    {
                        Assert.Equal("NaN", (string)fitted[name]!["mse_after"]![j]!);
                    }
                }
            }
        }
    }

    [Fact]
    public void Betas_of_another_dictionary_are_refused()
    {
        string folder = _folder.Path;
        SafetensorsWriter writer = new();
        writer.Add("base_error.beta", new double[5], 5);
        writer.Save(Path.Combine(folder, "few.safetensors"));
        LooseVerificationSettings settings = new() { Dictionary = Reading("batchtopk"), Betas = Path.Combine(folder, "few.safetensors"), Out = Path.Combine(folder, "z.json") };
        Assert.Contains("base_error.beta", Message(settings), StringComparison.Ordinal);
        writer = new SafetensorsWriter();
        writer.Add("unknown", new double[5], 5);
        writer.Save(Path.Combine(folder, "few.safetensors"));
        Assert.Contains("betas for 0 targets", Message(settings), StringComparison.Ordinal);
        Assert.Contains("--buckets 0", Message(settings with { Buckets = 0 }), StringComparison.Ordinal);

        string Message(LooseVerificationSettings s)
            => Assert.Throws<DiffractException>(() => LooseVerification.Run(_backend, new SilentProgress(), s, TestContext.Current.CancellationToken)).Message;
    }

    JsonNode Verify(string dictionary, VectorChoice vectors, out double[][] vectors_LD)
    {
        LooseReading reading = Reading(dictionary);
        string betas = Path.Combine(_folder.Path, "betas.safetensors"), output = Path.Combine(_folder.Path, "z.json");
        LooseScaling.Run(_backend, new SilentProgress(), new LooseScalingSettings { Dictionary = reading, Out = betas, Vectors = vectors }, TestContext.Current.CancellationToken);
        LooseVerification.Run(_backend, new SilentProgress(), new LooseVerificationSettings { Dictionary = reading, Betas = betas, Out = output }, TestContext.Current.CancellationToken);
        using Crosscoder crosscoder = CrosscoderFolder.Load(reading.Folder, _backend);
        using SafetensorsFile file = SafetensorsFile.Open(betas);
        double[]? given = vectors == VectorChoice.Own ? null : file.Doubles(ScalingDirections.Tensor);
        vectors_LD = [.. Enumerable.Range(0, 128).Select(j => Enumerable.Range(0, 24).Select(d => given is null ? (double)crosscoder.WDec_LE.Row(j)[24 + d] : given[j * 24 + d]).ToArray())];
        return JsonNode.Parse(File.ReadAllText(output))!;
    }

    LooseReading Reading(string dictionary)
    {
        string folder = Directory.CreateDirectory(Path.Combine(_folder.Path, dictionary)).FullName;
        GoldenDictionary.Unpack(dictionary, folder);
        return new LooseReading { Folder = folder, Activations = GoldenFiles.Path("scaling/activations.safetensors"), Code = dictionary == "decoupled_chat" ? "chat" : null };
    }

    /// <summary>f of the code that is scaled, and of a model's own.</summary>
    static (double Scaled, double Own) Code(SparseCode code, int token, int latent, int? codeModel, int model)
    {
        for (int i = code.TokenStart.Span<int>()[token]; i < code.TokenStart.Span<int>()[token + 1]; i++)
        {
            if (code.TokenLatent.Span<int>()[i] == latent)
            {
                int pair = code.TokenPairs.Span<int>()[i], bits = code.ModelOffsets is null ? 3 : code.PairModels!.Span<int>()[pair];
                double value = code.PairValue.Span<float>()[pair];
                double scaled = (bits >> (codeModel ?? 0) & 1) != 0 ? value : 0;
                return (scaled, scaled > 0 && (bits >> model & 1) != 0 ? value : 0);
            }
        }

        return (0, 0);
    }

    static void Near(double wanted, double got) => Assert.True(Math.Abs(wanted - got) <= 1e-6 + 1e-5 * Math.Abs(wanted), $"{got:R}, wanted {wanted:R}");
}
