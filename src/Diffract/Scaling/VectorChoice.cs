namespace Diffract.Scaling;

/// <summary>Along which direction a latent's code is held against its target (spec 5.4).</summary>
public enum VectorChoice
{
    /// <summary>Its decoder row in the chat model; of an SAE its decoder row.</summary>
    Own,

    /// <summary>A random direction of that row's length: v ~ N(0, I), rescaled.</summary>
    Random,

    /// <summary>The row of a random latent, rescaled to that length.</summary>
    RandomLatents,
}
