using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary><c>optimizer.safetensors</c>: Adam's moments as <c>adam_m.*</c> and <c>adam_v.*</c> in the published order, and <c>tokens_since_fired</c> [L]; with resampling also <c>steps_since_active</c> [L], with JumpReLU the moments of <c>threshold</c> and its <c>unit</c>.</summary>
public static class OptimizerFile
{
    public const string Name = "optimizer.safetensors";

    const string First = "adam_m.";
    const string Second = "adam_v.";
    const string Counters = "tokens_since_fired";
    const string Threshold = "threshold";
    const string UnitName = "unit";
    const string Silent = "steps_since_active";

    public static FileSeal Save(string folder, TrainingState state, Crosscoder crosscoder)
    {
        SafetensorsWriter writer = new();
        PublishedTensors.Add(writer, First, crosscoder.Config, state.EncM_LE, state.BiasM_L, state.DecM_LE, state.DecBiasM_E);
        PublishedTensors.Add(writer, Second, crosscoder.Config, state.EncV_LE, state.BiasV_L, state.DecV_LE, state.DecBiasV_E);
        if (state.ThresholdM_L is { } first_L && state.ThresholdV_L is { } second_L)
        {
            writer.Add(First + Threshold, first_L, crosscoder.Latents);
            writer.Add(Second + Threshold, second_L, crosscoder.Latents);
            writer.Add(UnitName, new[] { state.Unit }, []);
        }

        writer.Add(Counters, state.Firing.TokensSinceFired, crosscoder.Latents);
        if (state.SilentSteps is { } silent)
        {
            writer.Add(Silent, silent, crosscoder.Latents);
        }

        return writer.Save(Path.Combine(folder, Name));
    }

    public static void Load(string folder, TrainingState state, Crosscoder crosscoder)
    {
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(folder, Name));
        PublishedTensors.Read(file, First, crosscoder.Config, state.EncM_LE, state.BiasM_L, state.DecM_LE, state.DecBiasM_E);
        PublishedTensors.Read(file, Second, crosscoder.Config, state.EncV_LE, state.BiasV_L, state.DecV_LE, state.DecBiasV_E);
        if (state.ThresholdM_L is { } first_L && state.ThresholdV_L is { } second_L)
        {
            file.Floats(First + Threshold, crosscoder.Latents).CopyTo(first_L.Row(0));
            file.Floats(Second + Threshold, crosscoder.Latents).CopyTo(second_L.Row(0));
            state.Unit = file.Floats(UnitName)[0];
        }

        file.Integers(Counters, crosscoder.Latents).CopyTo(state.Firing.TokensSinceFired, 0);
        if (state.SilentSteps is { } silent)
        {
            file.Integers(Silent, crosscoder.Latents).CopyTo(silent, 0);
        }
    }
}
