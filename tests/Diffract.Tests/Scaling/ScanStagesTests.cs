using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Scaling;
using Diffract.Tokens;

namespace Diffract.Tests.Scaling;

/// <summary>The latents and scale stages over a real harvest, against what its rows say when encoded one by one.</summary>
public sealed class ScanStagesTests(ScanRun given) : IClassFixture<ScanRun>
{
    [Theory]
    [InlineData("l1")]
    [InlineData("batchtopk")]
    public void The_latent_table_and_activations_are_those_of_the_held_out_rows(string name)
    {
        LatentsStage.Run(given.Context(fresh: true), new LatentsSettings { Name = name });
        LatentTable table = LatentTable.Open(given.Run, name);
        (float[][] acts, byte[] roles) = given.Rows(Split.HeldOut);
        float[][] scaled_BL = Encode(name, acts);
        int assistants = roles.Count(r => (r & (byte)TokenRole.Assistant) != 0);
        Assert.Equal(ScanRun.Latents, table.Rows.Count);
        Assert.Equal(acts.Length, (long)table.Manifest.Facts["tokens"]!);
        for (int j = 0; j < ScanRun.Latents; j++)
        {
            int[] active = [.. Enumerable.Range(0, acts.Length).Where(b => scaled_BL[b][j] > 0)];
            LatentRow row = table.Rows[j];
            Assert.Equal(active.Length, row.Active);
            Assert.Equal((double)active.Count(b => (roles[b] & (byte)TokenRole.Assistant) != 0) / assistants, row.Rates.Assistant);
            Assert.Equal(active.Length == 0 ? 0 : active.Max(b => scaled_BL[b][j]), row.MaxActivation);
        }

        Assert.Equal(LatentClass.ChatOnly, table.Rows[0].Class);
        Assert.True(table.Rows[1].Dead);
        Assert.Contains(table.Rows, r => r.Active > 50 && r.Active < acts.Length);

        using LatentActivations activations = LatentActivations.Open(given.Run, name);
        using TokenStore tokens = TokenStore.Open(given.Run);
        Assert.Equal(tokens.Documents.Where(d => d.Split == Split.HeldOut).Select(d => d.Number), activations.DocumentNumbers);
        Assert.Equal(table.Rows.Select(r => r.Active), Enumerable.Range(0, ScanRun.Latents).Select(activations.Count));
        Assert.Equal(acts.Length, activations.Tokens);
    }

    [Theory]
    [InlineData("l1")]
    [InlineData("batchtopk")]
    public void Scaling_gives_the_betas_of_the_scaling_rows_with_errors(string name)
    {
        ScaleStage.Run(given.Context(fresh: true), new ScaleSettings { Name = name });
        ScalingTable table = ScalingTable.Open(given.Run, name);
        using SafetensorsFile loose = Loose(name);
        using SafetensorsFile stage = SafetensorsFile.Open(Path.Combine(given.Run.Scaling(name), ScaleStage.TensorsFile));
        foreach (string tensor in loose.Tensors.Keys)
        {
            double[] wanted = loose.Doubles(tensor), got = stage.Doubles(tensor);
            for (int j = 0; j < wanted.Length; j++)
            {
                Assert.True(double.IsNaN(wanted[j]) ? double.IsNaN(got[j]) : Math.Abs(got[j] - wanted[j]) <= 1e-9 * (1 + Math.Abs(wanted[j])), $"{tensor}[{j}]: {got[j]}, wanted {wanted[j]}");
            }
        }

        double[] error = stage.Doubles("base_error.beta"), count = stage.Doubles("base_error.count_active");
        Assert.Equal(error, table.Rows.Select(r => r.BetaBaseError));
        Assert.Equal(count, table.Rows.Select(r => (double)r.CountActive));
        Assert.All(table.Rows.Where(r => r.CountActive > 100), r => Assert.True(r.NuErrorSe > 0 && r.NuReconstructionSe > 0));
        Assert.NotEqual(Verdict.NotChatOnly, table.Rows[0].Verdict);
        Assert.Equal(1, table.Rows.Count(r => r.Verdict != Verdict.NotChatOnly));
        Assert.Equal(ScanRun.Latents - 1, (int)table.Manifest.Facts["verdicts"]!["not_chat_only"]!);
        Assert.Equal([(long)table.Manifest.Facts["blocks"]!, ScanRun.Latents, 7], stage["blocks.sums"].Shape);
        Assert.False(Directory.Exists(Path.Combine(given.Run.Scaling(name), "blocks")));
    }

    [Fact]
    public void Threads_do_not_change_a_bit()
    {
        string scaling = Path.Combine(given.Run.Scaling("l1"), ScalingTable.FileName), latents = Path.Combine(given.Run.Latents("l1"), LatentActivations.FileName);
        List<string> seals = [];
        foreach (int threads in (int[])[1, 3])
        {
            using CpuBackend backend = new(CpuPaths.Best, threads);
            ScaleStage.Run(given.Context(backend, fresh: true), new ScaleSettings { Name = "l1" });
            LatentsStage.Run(given.Context(backend, fresh: true), new LatentsSettings { Name = "l1" });
            seals.Add(AtomicFile.Seal(scaling).Xxh128 + AtomicFile.Seal(latents).Xxh128);
        }

        Assert.Equal(seals[0], seals[1]);
    }

    [Fact]
    public void A_stopped_scale_goes_on_to_the_same_bytes()
    {
        given.AddCrosscoder("stopped", CrosscoderKind.L1, [128, 128], seed: 9);
        ScaleStage.Run(given.Context(), new ScaleSettings { Name = "stopped" });
        string path = Path.Combine(given.Run.Scaling("stopped"), ScaleStage.TensorsFile);
        FileSeal whole = AtomicFile.Seal(path);

        using CancellationTokenSource stop = new();
        Counting counting = new() { StopAt = 5, Stop = stop };
        Assert.Throws<OperationCanceledException>(() => ScaleStage.Run(given.Context(progress: counting, fresh: true, stop: stop.Token), new ScaleSettings { Name = "stopped" }));
        Assert.False(File.Exists(Path.Combine(given.Run.Scaling("stopped"), StageManifest.FileName)));
        Assert.Throws<DiffractException>(() => ScalingTable.Open(given.Run, "stopped"));
        Counting after = new();
        ScaleStage.Run(given.Context(progress: after), new ScaleSettings { Name = "stopped" });
        Assert.Equal(whole, AtomicFile.Seal(path));
        Assert.True(after.Reports < 32, $"{after.Reports} batches after the stop, of 32");
    }

    [Fact]
    public void A_stopped_latents_starts_again_and_leaves_no_working_files()
    {
        given.AddCrosscoder("halted", CrosscoderKind.L1, [128, 128], seed: 10);
        using CancellationTokenSource stop = new();
        Counting counting = new() { StopAt = 1, Stop = stop };
        Assert.Throws<OperationCanceledException>(() => LatentsStage.Run(given.Context(progress: counting, stop: stop.Token), new LatentsSettings { Name = "halted" }));
        Assert.Empty(Directory.GetFiles(given.Run.Latents("halted"), "*.part"));
        LatentsStage.Run(given.Context(), new LatentsSettings { Name = "halted" });
        Assert.Equal(ScanRun.Latents, LatentTable.Open(given.Run, "halted").Rows.Count);
        Counting again = new();
        LatentsStage.Run(given.Context(progress: again), new LatentsSettings { Name = "halted" });
        Assert.Equal(0, again.Reports);
    }

    [Fact]
    public void A_crosscoder_of_another_width_is_refused()
    {
        given.AddCrosscoder("narrow", CrosscoderKind.L1, [64, 64]);
        Assert.Contains("of width 64 and 64, the activations of layer 3 have 128 and 128", Refused(() => Scale("narrow")), StringComparison.Ordinal);
        Assert.Contains("of width 64 and 64", Refused(() => LatentsStage.Run(given.Context(), new LatentsSettings { Name = "narrow" })), StringComparison.Ordinal);
    }

    [Fact]
    public void A_crosscoder_of_three_models_is_refused()
    {
        given.AddCrosscoder("three", CrosscoderKind.L1, [128, 128, 128]);
        Assert.Contains("of width 128 and 128 and 128", Refused(() => Scale("three")), StringComparison.Ordinal);
    }

    [Fact]
    public void An_unset_threshold_is_refused_unless_allowed()
    {
        given.AddCrosscoder("unset", CrosscoderKind.BatchTopK, [128, 128]);
        Assert.Contains("--allow-unset-threshold", Refused(() => Scale("unset")), StringComparison.Ordinal);
        Assert.Contains("--allow-unset-threshold", Refused(() => LatentsStage.Run(given.Context(), new LatentsSettings { Name = "unset" })), StringComparison.Ordinal);
        ScaleStage.Run(given.Context(), new ScaleSettings { Name = "unset", AllowUnsetThreshold = true });
        Assert.True(File.Exists(Path.Combine(given.Run.Scaling("unset"), ScalingTable.FileName)));
    }

    [Fact]
    public void What_was_made_from_another_crosscoder_is_stale()
    {
        given.AddCrosscoder("changed", CrosscoderKind.L1, [128, 128], seed: 20);
        Scale("changed");
        given.AddCrosscoder("changed", CrosscoderKind.L1, [128, 128], seed: 21);
        Assert.Contains("stale", Assert.Throws<DiffractException>(() => ScalingTable.Open(given.Run, "changed")).Message, StringComparison.Ordinal);
        Assert.Contains("--fresh", Refused(() => Scale("changed")), StringComparison.Ordinal);
        ScaleStage.Run(given.Context(fresh: true), new ScaleSettings { Name = "changed" });
        Assert.NotEmpty(ScalingTable.Open(given.Run, "changed").Rows);
    }

    [Fact]
    public void A_missing_crosscoder_names_the_verb_that_makes_it()
    {
        Assert.Contains("run `diffract train", Refused(() => Scale("nobody")), StringComparison.Ordinal);
        Assert.Contains("run `diffract latents", Assert.Throws<DiffractException>(() => LatentTable.Open(given.Run, "nobody")).Message, StringComparison.Ordinal);
        Assert.Contains("run `diffract scale", Assert.Throws<DiffractException>(() => ScalingTable.Open(given.Run, "nobody")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_crosscoder_is_chosen_by_name_or_layer()
    {
        Assert.Equal("x", ScanInputs.Choose(given.Run, "x", null));
        Assert.Equal("l1", ScanInputs.Choose(given.Run, "l1", ScanRun.Layer));
        Assert.Equal("batchtopk", ScanInputs.Choose(given.Run, null, null));
        DiffractException e = Assert.Throws<DiffractException>(() => ScanInputs.Choose(given.Run, "l1", 2));
        Assert.Contains("reads layer 3, --layer says 2", e.Message, StringComparison.Ordinal);
        Assert.Equal(DiffractException.BadArguments, e.ExitCode);
        Assert.Contains("no trained crosscoder of layer 5", Assert.Throws<DiffractException>(() => ScanInputs.Choose(given.Run, null, 5)).Message, StringComparison.Ordinal);
    }

    void Scale(string name) => ScaleStage.Run(given.Context(), new ScaleSettings { Name = name });

    static string Refused(Action stage) => Assert.Throws<DiffractException>(stage).Message;

    /// <summary>Scaled codes of the rows by the oracle.</summary>
    float[][] Encode(string name, float[][] acts)
    {
        using Crosscoder crosscoder = CrosscoderFolder.Load(given.Run.Crosscoder(name), given.Backend);
        Matrix acts_BE = Matrix.Host(acts.Length, crosscoder.E);
        using IBuffer owner = acts_BE.Buffer;
        for (int b = 0; b < acts.Length; b++)
        {
            acts[b].CopyTo(acts_BE.Row(b));
        }

        using SparseCode code = crosscoder.NewCode(acts.Length);
        crosscoder.Encode(acts_BE, code);
        float[][] scaled = [.. acts.Select(_ => new float[crosscoder.Latents])];
        Span<int> start = code.LatentStart.Span<int>(), token = code.PairToken.Span<int>();
        for (int j = 0; j < crosscoder.Latents; j++)
        {
            for (int p = start[j]; p < start[j + 1]; p++)
            {
                scaled[token[p]][j] = code.PairValue.Span<float>()[p] * crosscoder.Scale_L.Row(0)[j];
            }
        }

        return scaled;
    }

    SafetensorsFile Loose(string name)
    {
        (float[][] acts, _) = given.Rows(Split.Scaling);
        string x = Path.Combine(given.Run.Root, name + ".x"), y = Path.Combine(given.Run.Root, name + ".y");
        SafetensorsWriter writer = new();
        writer.Add("x", acts.SelectMany(row => row).ToArray(), acts.Length, 2, 128);
        writer.Save(x);
        LooseScaling.Run(given.Backend, new SilentProgress(), new LooseScalingSettings { Dictionary = new LooseReading { Folder = given.Run.Crosscoder(name), Activations = x }, Out = y }, TestContext.Current.CancellationToken);
        return SafetensorsFile.Open(y);
    }

    /// <summary>Counts reports, and stops the stage after some.</summary>
    sealed class Counting : IProgressSink
    {
        public int Reports { get; private set; }

        public int StopAt { get; init; } = int.MaxValue;

        public CancellationTokenSource? Stop { get; init; }

        public void Report(string what, long done, long total, string unit, string? note = null)
        {
            if (++Reports == StopAt)
            {
                Stop!.Cancel();
            }
        }

        public void Line(string text)
        {
        }

        public void Warn(string text)
        {
        }

        public void Done(string what, string summary)
        {
        }
    }
}
