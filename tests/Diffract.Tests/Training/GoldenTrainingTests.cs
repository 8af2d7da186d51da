using System.Text.Json.Nodes;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Kernels.Tests;
using Diffract.Runs;
using Diffract.Tests.Crosscoders;
using Diffract.Training;

namespace Diffract.Tests.Training;

/// <summary>Thirty steps of the reference library, reproduced on every backend: records, weights, moments, counters and inference.</summary>
public sealed class GoldenTrainingTests : IDisposable
{
    const double Tolerance = 1e-5;

    static readonly string[] Cases =
    [
        "batchtopk_crosscoder", "batchtopk_none", "batchtopk_clipped", "batchtopk_no_death", "batchtopk_decay", "batchtopk_three_models",
        "batchtopk_sae", "batchtopk_mixed", "batchtopk_decoupled", "batchtopk_normalised", "batchtopk_k_anneal", "sae_batchtopk",
        "l1", "l1_mse", "l1_default_init", "l1_three_models", "l1_sae_norm", "l1_normalised", "l1_first_model_encodes",
    ];

    readonly string _folder = Directory.CreateTempSubdirectory("diffract").FullName;

    public static TheoryData<string, string, string> All
    {
        get
        {
            TheoryData<string, string, string> data = [];
            foreach (string backend in BackendsUnderTest.Names.Select(row => row.Data))
            {
                foreach (string name in Cases)
                {
                    data.Add(name, backend, "sparse");
                }

                data.Add("l1", backend, "dense");
                data.Add("l1_mse", backend, "dense");
                data.Add("l1_sae_norm", backend, "dense");
                data.Add("l1_normalised", backend, "dense");
                data.Add("l1_first_model_encodes", backend, "dense");
                data.Add("l1", backend, "dense, then sparse");
            }

            return data;
        }
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [MemberData(nameof(All))]
    public void Thirty_steps_agree_with_the_reference_library(string name, string backendName, string form)
    {
        using IBackend backend = BackendsUnderTest.Create(backendName);
        string path = GoldenFiles.Path($"crosscoder/{name}/run.safetensors");
        JsonObject run = JsonNode.Parse(File.ReadAllText(GoldenFiles.Path($"crosscoder/{name}/run.json")))!.AsObject();
        using SafetensorsFile file = SafetensorsFile.Open(path);
        TrainingConfig config = Config(run, form);
        using Crosscoder crosscoder = CrosscoderFolder.LoadInit(path, new InitChoices { Kind = config.Crosscoder.Kind, K = config.Crosscoder.K }, backend);
        config = config with { Crosscoder = crosscoder.Config };
        using StoredBatches source = new(path, null, null, crosscoder.Config.Sae);
        using Trainer trainer = new(config, crosscoder, source);
        string logPath = Path.Combine(_folder, TrainingLog.FileName);
        using (TrainingLog log = new(logPath, 0))
        {
            trainer.Run(new TrainingOutputs(log), new SilentProgress(), TestContext.Current.CancellationToken);
        }

        CheckRecords(run["records"]!.AsObject(), File.ReadAllLines(logPath));
        CheckTensors(file, trainer, crosscoder);
        GoldenInference.Check(file, crosscoder, Tolerance);
    }

    static void CheckRecords(JsonObject records, string[] log)
    {
        Assert.Equal(30, log.Length);
        int compared = 0;
        for (int step = 0; step < log.Length; step++)
        {
            JsonObject line = JsonNode.Parse(log[step])!.AsObject();
            Assert.Equal(step, line["step"]!.GetValue<int>());
            foreach ((string key, JsonNode? values) in records)
            {
                if (values!.AsArray().Count > 0 && values[step] is JsonArray byModel)
                {
                    Assert.Equal(byModel.Count, line[key]!.AsArray().Count);
                    for (int m = 0; m < byModel.Count; m++)
                    {
                        Close.Relative(byModel[m]!.GetValue<double>(), line[key]![m]!.GetValue<double>(), Tolerance, $"{key} of step {step}, model {m}");
                        compared++;
                    }
                }
                else if (values.AsArray().Count > 0)
                {
                    Close.Relative(values[step]!.GetValue<double>(), line[key]!.GetValue<double>(), Tolerance, $"{key} of step {step}");
                    compared++;
                }
            }
        }

        Assert.True(compared >= 30 * 5, $"only {compared} numbers compared");
    }

    void CheckTensors(SafetensorsFile golden, Trainer trainer, Crosscoder crosscoder)
    {
        CrosscoderFolder.Save(_folder, crosscoder);
        OptimizerFile.Save(_folder, trainer.State, crosscoder);
        using SafetensorsFile model = SafetensorsFile.Open(Path.Combine(_folder, CrosscoderFolder.ModelFile));
        using SafetensorsFile optimizer = SafetensorsFile.Open(Path.Combine(_folder, OptimizerFile.Name));
        foreach (string name in (string[])["encoder.weight", "encoder.bias", "decoder.weight", PublishedTensors.DecoderBias(crosscoder.Config)])
        {
            Assert.Equal(golden["final." + name].Shape, model[name].Shape);
            Close.Max(golden.Floats("final." + name), model.Floats(name), Tolerance, name);
            Close.Max(golden.Floats("adam_m." + name), optimizer.Floats("adam_m." + name), Tolerance, "adam_m." + name);
            Close.Max(golden.Floats("adam_v." + name), optimizer.Floats("adam_v." + name), Tolerance, "adam_v." + name);
        }

        foreach (string name in (string[])["activation_mean", "activation_std", "activation_global_scale", "target_rms"])
        {
            Assert.Equal(golden["final." + name].Shape, model[name].Shape);
            Assert.Equal(golden.Floats("final." + name), model.Floats(name));
        }

        Assert.Equal(!crosscoder.Config.Sae, model.Tensors.ContainsKey("code_normalization_id"));
        if (!crosscoder.Config.Sae)
        {
            Assert.Equal(golden.Integers("final.code_normalization_id"), model.Integers("code_normalization_id"));
        }

        if (crosscoder.Config.Kind == CrosscoderKind.BatchTopK)
        {
            Assert.Equal(golden.Integers("tokens_since_fired"), optimizer.Integers("tokens_since_fired"));
            Assert.Equal(golden.Integers("final.k"), model.Integers("k"));
            Close.Max(golden.Floats("final.threshold"), model.Floats("threshold"), Tolerance, "threshold");
        }
    }

    static TrainingConfig Config(JsonObject run, string form)
    {
        bool sae = run["kind"]!.GetValue<string>() == "sae", topK = sae || run["kind"]!.GetValue<string>() == "btk";
        int width = run["activation_dim"]!.GetValue<int>();
        CrosscoderKind kind = topK ? CrosscoderKind.BatchTopK : CrosscoderKind.L1;
        TrainingConfig config = new()
        {
            Crosscoder = new CrosscoderConfig(kind, run["dict_size"]!.GetValue<int>(), [.. Enumerable.Repeat(width, sae ? 1 : run["models"]!.GetValue<int>())])
            {
                CodeNorm = CodeNormIds.FromName(run["code_norm"]?.GetValue<string>() ?? "NONE")!.Value,
                K = topK ? run["k"]!.GetValue<int>() : 100,
            },
            Steps = run["steps"]!.GetValue<int>(),
            Batch = run["batch"]!.GetValue<int>(),
            LearningRate = run["lr"]!.GetValue<double>(),
            Warmup = run["warmup_steps"]!.GetValue<int>(),
            Clip = TrainingConfig.DefaultClip(kind),
            DenseAbove = form switch { "dense" => -1, "sparse" => 1, _ => 0.999 },
        };
        return topK
            ? config with
            {
                Loss = sae ? LossKind.Mse : LossKind.Norm,
                KInitial = run["k_annealing_steps"]?.GetValue<int>() > 0 ? run["k_initial"]!.GetValue<int>() : null,
                KAnnealingSteps = run["k_annealing_steps"]?.GetValue<int>() ?? 0,
                DecayStart = run["decay_start"]?.GetValue<int>(),
                KAux = run["top_k_aux"]!.GetValue<int>(),
                AuxAlpha = run["auxk_alpha"]!.GetValue<double>(),
                DeadAfter = run["dead_after_tokens"]?.GetValue<long>() ?? 10_000_000,
                ThresholdFrom = run["threshold_start_step"]!.GetValue<int>(),
                ThresholdBeta = run["threshold_beta"]!.GetValue<double>(),
            }
            : config with { Mu = run["l1_penalty"]!.GetValue<double>(), Loss = run["use_mse_loss"]!.GetValue<bool>() ? LossKind.Mse : LossKind.Norm };
    }
}
