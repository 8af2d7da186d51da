using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>Keeps dictionaries from stages that would read wrong numbers out of them.</summary>
public static class DictionaryForm
{
    /// <summary>Refuses, by name, an SAE and a decoupled code.</summary>
    /// <param name="crosscoder">The dictionary.</param>
    /// <param name="name">What the message calls it.</param>
    /// <param name="stage">What the message calls the stage.</param>
    public static void Require(Crosscoder crosscoder, string name, string stage)
    {
        if (crosscoder.Config.Sae)
        {
            throw new DiffractException($"{name} is an SAE of one model; {stage} compares two models: choose a crosscoder (`diffract encode` takes SAEs)");
        }

        if (crosscoder.Decoupled)
        {
            throw new DiffractException($"{name} is decoupled: it has a code for each model; {stage} takes one code for all: train one with another --code-norm");
        }
    }
}
