namespace Diffract.Evidence;

/// <summary>One edit of the activation after the hooked block that the chat model goes on from (spec 7.3).</summary>
/// <param name="Name">How results name it.</param>
/// <param name="Form">What is fed in.</param>
/// <param name="Set">Index of the latent set of replace and add; -1 where the form needs none.</param>
public sealed record Edit(string Name, EditForm Form, int Set = -1)
{
    /// <summary>none, all, error and template.</summary>
    public static IReadOnlyList<Edit> Baselines { get; } = [new("none", EditForm.None), new("all", EditForm.All), new("error", EditForm.Error), new("template", EditForm.Template)];

    /// <summary>The base model's own predictions.</summary>
    public static Edit BaseModel { get; } = new("base_model", EditForm.BaseModel);

    /// <summary>replace_NAME and add_NAME of latent set <paramref name="set"/>.</summary>
    public static IEnumerable<Edit> OfSet(string name, int set) => [new("replace_" + name, EditForm.Replace, set), new("add_" + name, EditForm.Add, set)];
}
