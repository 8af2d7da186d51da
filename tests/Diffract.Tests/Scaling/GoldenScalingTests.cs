using System.IO.Compression;
using System.Runtime.InteropServices;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;
using Diffract.Cpu;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Scaling;

namespace Diffract.Tests.Scaling;

/// <summary>
/// Every sum and every beta of the reference implementation's closed-form scalers, computed there in double from float32 weights; and what `scale` on loose files refuses.
/// </summary>
public sealed class GoldenScalingTests : IDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    public static TheoryData<string, string, int, int> Variants => new()
    {
        { "l1", "reference", 40, 0 },
        { "batchtopk", "reference", 40, 0 },
        { "l1", "cpu", 40, 0 },
        { "batchtopk", "cpu", 40, 0 },
        { "batchtopk_random_vectors", "cpu", 41, 0 },
        { "batchtopk_selected", "cpu", 41, 0 },
        { "batchtopk_threshold_0.3", "cpu", 40, 0 },
        { "decoupled_chat", "cpu", 10, 30 },
        { "sae_chat", "cpu", 10, 0 },
        { "sae_difference", "cpu", 10, 0 },
        { "batchtopk_threshold_0.3", "reference", 40, 0 },
        { "decoupled_chat", "reference", 10, 30 },
        { "sae_difference", "reference", 10, 0 },
    };

    /// <summary>Counts are equal; everything else within 1e-6 + 1e-5 of the size.</summary>
    [Theory]
    [MemberData(nameof(Variants))]
    public void Every_variant_is_that_of_the_reference_implementation(string variant, string device, int tensors, int further)
    {
        using IBackend backend = device == "cpu" ? new CpuBackend(CpuPaths.Best, 2) : new ReferenceBackend();
        GoldenDictionary.Unpack(variant, _folder);
        LooseScalingSettings settings = Settings(_folder);
        settings = variant switch
        {
            "batchtopk_random_vectors" => settings with { Vectors = VectorChoice.Random, VectorsFile = GoldenFiles.Path("scaling/batchtopk_random_vectors.safetensors") },
            "batchtopk_selected" => settings with { Latents = Json("[0, 5, 17, 63, 64, 100, 127]") },
            "batchtopk_threshold_0.3" => settings with { ActiveAbove = 0.3 },
            "decoupled_chat" => settings with { Dictionary = settings.Dictionary with { Code = "chat" } },
            "sae_difference" => settings with { Dictionary = settings.Dictionary with { Difference = "chat-base" } },
            _ => settings,
        };
        LooseScaling.Run(backend, new SilentProgress(), settings, TestContext.Current.CancellationToken);
        Assert.Equal(tensors, Compare(variant, settings.Out));
        using SafetensorsFile got = SafetensorsFile.Open(settings.Out);
        Assert.Equal(tensors + further, got.Tensors.Count);
    }

    /// <summary>Selected latents are the rows of all, in the order that was given.</summary>
    [Fact]
    public void Selected_latents_keep_their_order()
    {
        using ReferenceBackend backend = new();
        GoldenDictionary.Unpack("batchtopk", _folder);
        LooseScalingSettings settings = Settings(_folder) with { Latents = Json("[100, 3]") };
        LooseScaling.Run(backend, new SilentProgress(), settings, TestContext.Current.CancellationToken);
        using SafetensorsFile got = SafetensorsFile.Open(settings.Out), golden = SafetensorsFile.Open(GoldenFiles.Path("scaling/batchtopk.safetensors"));
        double[] all = golden.Doubles("chat_error.norm_f");
        Assert.Equal([all[100], all[3]], got.Doubles("chat_error.norm_f", 2), (a, b) => Math.Abs(a - b) <= 1e-5 * Math.Abs(a));
        Assert.Equal([100L, 3L], got.Integers("latent_indices"));
    }

    /// <summary>Two windows of the rows add up to all of them; maxima that are given are those that would be found.</summary>
    [Fact]
    public void Samples_offset_and_maxima_are_taken()
    {
        using CpuBackend backend = new(CpuPaths.Best, 2);
        GoldenDictionary.Unpack("batchtopk_threshold_0.3", _folder);
        CancellationToken stop = TestContext.Current.CancellationToken;
        LooseScalingSettings settings = Settings(_folder);
        using (LooseCodes codes = LooseCodes.Open(backend, new SilentProgress(), settings.Dictionary, "scale", true, stop))
        {
            SafetensorsWriter writer = new();
            writer.Add(CodeMaxima.Tensor, CodeMaxima.Of(codes, 0, codes.Rows, new SilentProgress(), stop), 128);
            writer.Save(Path.Combine(_folder, "max.safetensors"));
        }

        double[][] counts = [.. new[] { 0, 1 }.Select(offset =>
        {
            string output = Path.Combine(_folder, $"part{offset}.safetensors");
            LooseScaling.Run(backend, new SilentProgress(), settings with { Out = output, ActiveAbove = 0.3, Maxima = Path.Combine(_folder, "max.safetensors"), Samples = 3500, Offset = offset }, stop);
            using SafetensorsFile part = SafetensorsFile.Open(output);
            return part.Doubles("base_error.count_active");
        })];
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFiles.Path("scaling/batchtopk_threshold_0.3.safetensors"));
        Assert.Equal(golden.Doubles("base_error.count_active"), counts[0].Zip(counts[1], (a, b) => a + b));
    }

    /// <summary>Drawn directions have the length of the latent's own, change with the seed, and are the same for any number of threads.</summary>
    [Theory]
    [InlineData(VectorChoice.Random)]
    [InlineData(VectorChoice.RandomLatents)]
    public void Drawn_directions_have_the_length_of_the_latents_own(VectorChoice choice)
    {
        GoldenDictionary.Unpack("batchtopk", _folder);
        double[][] drawn = [.. new (int Seed, int Threads)[] { (1, 1), (1, 2), (2, 2) }.Select(given =>
        {
            using CpuBackend backend = new(CpuPaths.Best, given.Threads);
            LooseScalingSettings settings = Settings(_folder) with { Vectors = choice, Seed = given.Seed };
            LooseScaling.Run(backend, new SilentProgress(), settings, TestContext.Current.CancellationToken);
            using SafetensorsFile got = SafetensorsFile.Open(settings.Out), golden = SafetensorsFile.Open(GoldenFiles.Path("scaling/batchtopk.safetensors"));
            double[] own = golden.Doubles("chat_error.norm_d"), of = got.Doubles("chat_error.norm_d", 128);
            Assert.Equal(own, of, (a, b) => Math.Abs(a - b) <= 1e-5 * a);
            Assert.Equal(golden.Doubles("chat_error.count_active"), got.Doubles("chat_error.count_active", 128));
            Assert.Equal(choice == VectorChoice.RandomLatents, got.Tensors.ContainsKey("random_indices"));
            return got.Doubles(ScalingDirections.Tensor, 128, 24);
        })];
        Assert.Equal(drawn[0], drawn[1]);
        Assert.NotEqual(drawn[0], drawn[2]);
    }

    /// <summary>The error target of a decoupled code against its definition, summed naively: a model's own part is its own code times its decoder row.</summary>
    [Theory]
    [InlineData("base", 0)]
    [InlineData("chat", 1)]
    public void The_error_of_a_decoupled_code_is_as_defined(string code, int taken)
    {
        using ReferenceBackend backend = new();
        GoldenDictionary.Unpack("decoupled_chat", _folder);
        LooseScalingSettings settings = Settings(_folder) with { Samples = 400 };
        settings = settings with { Dictionary = settings.Dictionary with { Code = code } };
        LooseScaling.Run(backend, new SilentProgress(), settings, TestContext.Current.CancellationToken);
        using SafetensorsFile got = SafetensorsFile.Open(settings.Out);
        double[] wanted = new double[128];
        using LooseCodes codes = LooseCodes.Open(backend, new SilentProgress(), settings.Dictionary, "scale", true, TestContext.Current.CancellationToken);
        Crosscoder crosscoder = codes.Crosscoder;
        Matrix recon_BE = Matrix.Host(LooseCodes.BatchRows, 48);
        codes.ForEach(0, 400, whole: true, (_, acts_BE, sparse) =>
        {
            crosscoder.Decode(sparse, recon_BE.SliceRows(0, 400));
            for (int j = 0; j < 128; j++)
            {
                for (int p = sparse.LatentStart.Span<int>()[j]; p < sparse.LatentStart.Span<int>()[j + 1]; p++)
                {
                    int bits = sparse.PairModels!.Span<int>()[p], b = sparse.PairToken.Span<int>()[p];
                    double f = (bits >> taken & 1) != 0 ? sparse.PairValue.Span<float>()[p] : 0, ownBase = (bits & 1) != 0 ? sparse.PairValue.Span<float>()[p] : 0;
                    for (int d = 0; d < 24; d++)
                    {
                        wanted[j] += f * (acts_BE.Row(b)[d] - recon_BE.Row(b)[d] + ownBase * crosscoder.WDec_LE.Row(j)[d]) * crosscoder.WDec_LE.Row(j)[24 + d];
                    }
                }
            }
        }, TestContext.Current.CancellationToken);
        recon_BE.Buffer.Dispose();
        Assert.Equal(wanted, got.Doubles("base_error.nominator", 128), (a, b) => Math.Abs(a - b) <= 1e-6 + 1e-5 * Math.Abs(a));
    }

    [Fact]
    public void The_published_files_have_their_names_and_values()
    {
        using CpuBackend backend = new(CpuPaths.Best, 2);
        GoldenDictionary.Unpack("batchtopk_random_vectors", _folder);
        string published = Path.Combine(_folder, "published");
        LooseScalingSettings settings = Settings(_folder) with
        {
            Vectors = VectorChoice.Random,
            VectorsFile = GoldenFiles.Path("scaling/batchtopk_random_vectors.safetensors"),
            ActiveAbove = 0.1,
            Published = published,
            Name = "test",
        };
        LooseScaling.Run(backend, new SilentProgress(), settings, TestContext.Current.CancellationToken);
        Assert.Equal(8 * 6, Directory.GetFiles(published).Length);
        string path = Path.Combine(published, "betas_base_error_N6000_n_offset0_jumprelu0.1_random_vectors_s42_test.pt");
        using SafetensorsFile got = SafetensorsFile.Open(settings.Out);
        using TorchFile torch = new(path);
        Assert.Equal([128L], Assert.IsType<TorchTensor>(torch.Root).Shape);
        using ZipArchive zip = ZipFile.OpenRead(path);
        using MemoryStream bytes = new();
        zip.Entries.Single(e => e.FullName.EndsWith("/data/0", StringComparison.Ordinal)).Open().CopyTo(bytes);
        Assert.Equal(got.Doubles("base_error.beta", 128), MemoryMarshal.Cast<byte, double>(bytes.ToArray()).ToArray());
        Assert.True(File.Exists(Path.Combine(published, "latent_vectors_chat_activation_N6000_n_offset0_jumprelu0.1_random_vectors_s42_test.pt")));
    }

    public static TheoryData<string, string> Faults => new()
    {
        { "batchtopk --code", "has one code for both models" },
        { "batchtopk --difference", "is a crosscoder, which reads both models" },
        { "decoupled_chat", "give --code base or --code chat" },
        { "sae_chat both", "say two things" },
        { "batchtopk --active-above 0", "wanted a share of the maximum between 0 and 1" },
        { "batchtopk --maxima", "--maxima belongs to --active-above" },
        { "batchtopk --vectors-file", "--vectors-file belongs to --vectors random" },
        { "batchtopk twice", "names latent 3 twice" },
        { "batchtopk beyond", "names latent 128; wanted 0 to 127" },
        { "batchtopk none", "names no latent" },
        { "batchtopk words", "is not a JSON array of latent indices" },
        { "batchtopk rows", "wanted [2, 24]: a direction for each latent" },
        { "batchtopk offset", "begins behind the last of 6000 rows" },
    };

    [Theory]
    [MemberData(nameof(Faults))]
    public void Options_that_do_not_fit_are_refused_by_name(string given, string wanted)
    {
        GoldenDictionary.Unpack(given.Split(' ')[0], _folder);
        LooseScalingSettings settings = Settings(_folder);
        LooseReading dictionary = settings.Dictionary;
        settings = given[(given.IndexOf(' ', StringComparison.Ordinal) + 1)..] switch
        {
            "--code" => settings with { Dictionary = dictionary with { Code = "chat" } },
            "--difference" => settings with { Dictionary = dictionary with { Difference = "chat-base" } },
            "both" => settings with { Dictionary = dictionary with { Code = "chat", Difference = "chat-base" } },
            "--active-above 0" => settings with { ActiveAbove = 0 },
            "--maxima" => settings with { Maxima = "m" },
            "--vectors-file" => settings with { VectorsFile = "v" },
            "twice" => settings with { Latents = Json("[3, 4, 3]") },
            "beyond" => settings with { Latents = Json("[128]") },
            "none" => settings with { Latents = Json("[]") },
            "words" => settings with { Latents = Json("[\"a\"]") },
            "rows" => settings with { Latents = Json("[1, 2]"), Vectors = VectorChoice.Random, VectorsFile = GoldenFiles.Path("scaling/batchtopk_random_vectors.safetensors") },
            "offset" => settings with { Samples = 3000, Offset = 2 },
            _ => settings,
        };
        using ReferenceBackend backend = new();
        Assert.Contains(
            wanted, Assert.Throws<DiffractException>(() => LooseScaling.Run(backend, new SilentProgress(), settings, TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
        Assert.False(File.Exists(settings.Out));
    }

    [Fact]
    public void Activations_of_another_width_are_refused()
    {
        DiffractException e = Refused([1, 2, 23], new float[46]);
        Assert.Contains("x has the shape [1, 2, 23], wanted [tokens, 2, 24]", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Activations_of_three_models_are_refused()
        => Assert.Contains("[1, 3, 24], wanted [tokens, 2, 24]", Refused([1, 3, 24], new float[72]).Message, StringComparison.Ordinal);

    [Fact]
    public void A_value_that_is_not_finite_is_named()
    {
        float[] x = new float[3 * 48];
        x[48 + 24 + 5] = float.NaN;
        Assert.Contains("x holds NaN at token 1, model 1, column 5", Refused([3, 2, 24], x).Message, StringComparison.Ordinal);
        x[48 + 24 + 5] = float.PositiveInfinity;
        Assert.Contains("infinity at token 1, model 1, column 5", Refused([3, 2, 24], x).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Activations_without_x_are_refused()
        => Assert.Contains("no tensor x", Refused([1, 2, 24], new float[48], "y").Message, StringComparison.Ordinal);

    [Fact]
    public void An_unset_threshold_is_refused_unless_allowed()
    {
        GoldenDictionary.Unpack("batchtopk", _folder, threshold: -1);
        LooseScalingSettings settings = Settings(_folder);
        string output = settings.Out;
        using ReferenceBackend backend = new();
        DiffractException e = Assert.Throws<DiffractException>(() => LooseScaling.Run(backend, new SilentProgress(), settings, TestContext.Current.CancellationToken));
        Assert.Contains("--allow-unset-threshold", e.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(output));
        settings = settings with { Dictionary = settings.Dictionary with { AllowUnsetThreshold = true } };
        LooseScaling.Run(backend, new SilentProgress(), settings, TestContext.Current.CancellationToken);
        using SafetensorsFile got = SafetensorsFile.Open(output);
        using SafetensorsFile sparse = SafetensorsFile.Open(GoldenFiles.Path("scaling/batchtopk.safetensors"));
        Assert.True(got.Doubles("chat_error.count_active").Sum() > sparse.Doubles("chat_error.count_active").Sum());
    }

    [Fact]
    public void Three_models_are_refused()
    {
        using ReferenceBackend backend = new();
        using Diffract.Crosscoders.Crosscoder crosscoder = new(new(Diffract.Crosscoders.CrosscoderKind.L1, 4, [8, 8, 8]), backend);
        Assert.Contains("two models of one width", Assert.Throws<DiffractException>(() => ScalingModels.Check(crosscoder, "x", false)).Message, StringComparison.Ordinal);
    }

    DiffractException Refused(long[] shape, float[] x, string name = "x")
    {
        GoldenDictionary.Unpack("l1", _folder);
        SafetensorsWriter writer = new();
        writer.Add(name, x, shape);
        writer.Save(Path.Combine(_folder, "x.safetensors"));
        using ReferenceBackend backend = new();
        LooseScalingSettings settings = Settings(_folder);
        settings = settings with { Dictionary = settings.Dictionary with { Activations = Path.Combine(_folder, "x.safetensors") } };
        return Assert.Throws<DiffractException>(() => LooseScaling.Run(backend, new SilentProgress(), settings, TestContext.Current.CancellationToken));
    }

    static LooseScalingSettings Settings(string folder) => new()
    {
        Dictionary = new LooseReading { Folder = folder, Activations = GoldenFiles.Path("scaling/activations.safetensors") },
        Out = Path.Combine(folder, "out.safetensors"),
    };

    string Json(string text)
    {
        string path = Path.Combine(_folder, "indices.json");
        File.WriteAllText(path, text);
        return path;
    }

    /// <summary>Compares every tensor of a golden file; gives their number.</summary>
    static int Compare(string variant, string output)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFiles.Path($"scaling/{variant}.safetensors"));
        using SafetensorsFile got = SafetensorsFile.Open(output);
        int compared = 0;
        foreach (string name in golden.Tensors.Keys.Where(k => !k.StartsWith(GoldenDictionary.Prefix, StringComparison.Ordinal)))
        {
            if (golden[name].Type == "I64")
            {
                Assert.Equal(golden.Integers(name), got.Integers(name));
                compared++;
                continue;
            }

            double[] wanted = golden.Doubles(name), ours = got.Doubles(name, golden[name].Shape);
            Assert.Equal("F64", got[name].Type);
            for (int j = 0; j < wanted.Length; j++)
            {
                bool equal = name.EndsWith(".count_active", StringComparison.Ordinal)
                    ? ours[j] == wanted[j]
                    : double.IsNaN(wanted[j]) ? double.IsNaN(ours[j]) : Math.Abs(ours[j] - wanted[j]) <= 1e-6 + 1e-5 * Math.Abs(wanted[j]);
                Assert.True(equal, $"{name}[{j}] is {ours[j]:R}, wanted {wanted[j]:R}");
            }

            compared++;
        }

        return compared;
    }
}
